// What a document must not have if all texts are texts: other elements, handlers, addresses elsewhere.
() => {
  const said = [];
  const known =
    "a b body br button caption circle code dd desc details div dl dt figcaption figure footer form g h1 h2 head header " +
    "html img input label li line link main meta nav ol option p path polygon polyline pre rect script section select " +
    "span strong summary svg symbol table tbody td text textarea th thead time title tr ul use";
  const own = document.contentType === "image/svg+xml" ? known + " style" : known;
  for (const one of document.querySelectorAll("*")) {
    if (!own.split(" ").includes(one.localName)) said.push(`element: ${one.outerHTML.slice(0, 200)}`);
    for (const { name, value } of one.attributes) {
      if (/^on|^style$|^srcdoc$/i.test(name)) said.push(`attribute: ${name}=${value.slice(0, 200)}`);
      if (/^(href|src|action|formaction|xlink:href)$/i.test(name) && new URL(value, location).origin !== location.origin)
        said.push(`address: ${value.slice(0, 200)}`);
    }
  }
  return [...new Set(said)];
}
