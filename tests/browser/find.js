// What can be clicked, by the name that people read, or that is read to them: its middle, and whether it is covered.
(words) => {
  const clean = (text) => (text ?? "").replace(/\s+/g, " ").trim();
  const name = (one) =>
    clean(one.getAttribute("aria-label") ?? one.labels?.[0]?.innerText ?? (one.matches("input") ? one.value : one.innerText));
  const all = [...document.querySelectorAll("a[href], button, summary, input:not([type=hidden]), select, textarea")]
    .filter((one) => one.getClientRects().length);
  const found = all.find((one) => name(one) === words) ?? all.find((one) => name(one).includes(words));
  if (!found) return null;
  found.scrollIntoView({ block: "center", inline: "center", behavior: "instant" });
  const { x, y, width, height } = found.getClientRects()[0];
  const [left, top] = [x + width / 2, y + height / 2];
  const there = document.elementFromPoint(left, top);
  return { x: left, y: top, covered: !found.contains(there) };
}
