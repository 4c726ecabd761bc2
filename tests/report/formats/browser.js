"use strict";
// Opens each of PAGES in a frame, uses it, and posts what it found.
const open = (address, width) => new Promise((resolve) => {
  const frame = document.createElement("iframe");
  frame.style = `width: ${width}px; height: 844px; border: 0`;
  frame.onload = () => resolve(frame);
  frame.src = address;
  document.body.append(frame);
});
const shown = (page, selector) => [...page.querySelectorAll(selector)].filter((e) => !e.hidden);
const widest = (page) => [...page.querySelectorAll("body *")]
  .filter((e) => e.getBoundingClientRect().right > page.documentElement.clientWidth + 1 && !e.closest(".scroll"))
  .map((e) => `${e.tagName}.${e.className}`).slice(0, 5);
const opened = (page) => page.querySelectorAll("details").forEach((fold) => { fold.open = true; });
const filtered = (page) => {
  const form = page.querySelector("form.filter");
  if (!form || form.hidden) return null;
  const select = form.querySelector("select");
  const before = shown(page, "tr[data-row]").length;
  select.value = select.options[1].value;
  select.dispatchEvent(new Event("change", { bubbles: true }));
  const rows = shown(page, "tr[data-row]").map((row) => row.dataset[select.name]);
  const answer = { value: select.value, values: [...new Set(rows)], before, after: rows.length, said: form.querySelector("output").value };
  form.querySelector("button").click();
  return new Promise((resolve) => setTimeout(() => resolve({ ...answer, again: shown(page, "tr[data-row]").length }), 50));
};
const folded = async (page, name) => {
  const row = page.querySelector("article tr[data-row]");
  if (!row) return null;
  const frame = await open(`${name}#${row.id}`, 1280);
  const fold = frame.contentDocument.getElementById(row.id).closest("details");
  const answer = fold !== null && fold.open;
  frame.remove();
  return answer;
};
const accessible = async (name) => {
  const frame = await open(`${name}?axe`, 1280);
  const { contentDocument: page, contentWindow: view } = frame;
  opened(page);
  const script = page.createElement("script");
  script.src = "axe.js";
  const loaded = new Promise((resolve) => { script.onload = () => resolve(true); script.onerror = () => resolve(false); });
  page.head.append(script);
  if (!(await loaded)) return null;
  const { violations } = await view.axe.run(page, { resultTypes: ["violations"] });
  frame.remove();
  return violations.map((v) => [v.impact, v.id, v.nodes.length, v.nodes[0].html.slice(0, 150)]);
};
addEventListener("load", async () => {
  const found = {};
  for (const name of PAGES) {
    const answer = {};
    found[name] = answer;
    try {
      const narrow = await open(name, 390);
      opened(narrow.contentDocument);
      answer.width = narrow.contentDocument.documentElement.scrollWidth;
      answer.wide = widest(narrow.contentDocument);
      answer.overview = shown(narrow.contentDocument, ".distances .scroll, .strips").map((e) => [e.className, e.scrollWidth > 0, e.scrollWidth > e.clientWidth]);
      answer.shaded = shown(narrow.contentDocument, ".scroll").every((e) => narrow.contentWindow.getComputedStyle(e).backgroundAttachment.startsWith("local"));
      narrow.remove();
      const frame = await open(name, 1280);
      answer.fetched = frame.contentWindow.performance.getEntriesByType("resource").map((entry) => entry.name);
      answer.filtered = await filtered(frame.contentDocument);
      answer.folded = await folded(frame.contentDocument, name);
      frame.remove();
      answer.axe = await accessible(name);
    } catch (error) {
      answer.error = String(error);
    }
  }
  await fetch("found", { method: "POST", body: JSON.stringify(found) });
});
