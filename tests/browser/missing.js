// What a page lacks for whoever has it read to them, in words.
() => {
  const said = [];
  const unnamed = (one) => !one.labels?.length && !one.getAttribute("aria-label") && !one.textContent.trim() &&
    !one.querySelector("img[alt]");
  const headings = [...document.querySelectorAll("h1")].filter((one) => one.innerText.trim());
  if (!document.title.trim()) said.push("no title");
  if (!document.documentElement.lang) said.push("no language");
  if (headings.length !== 1) said.push(`${headings.length} main headings`);
  for (const one of document.querySelectorAll("input:not([type=hidden]), select, textarea, button, a[href], summary"))
    if (unnamed(one)) said.push(`no name: ${one.outerHTML}`);
  for (const one of document.querySelectorAll(".gristmill th:not([scope])")) said.push(`no scope: ${one.outerHTML}`);
  for (const one of document.querySelectorAll("img:not([alt])")) said.push(`no words for ${one.src}`);
  const ids = [...document.querySelectorAll("[id]")].map((one) => one.id);
  said.push(...ids.filter((id, at) => ids.indexOf(id) !== at).map((id) => `twice: #${id}`));
  return said;
}
