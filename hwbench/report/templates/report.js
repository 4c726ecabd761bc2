"use strict";
// The page is complete without this: it filters rows, copies links, and opens what a link points into.
for (const row of document.querySelectorAll(".every tr:has(a)")) {
  const [verdict, profile] = [...row.cells].slice(-2).map((cell) => cell.textContent.split(" ").pop());
  Object.assign(row.dataset, { row: row.querySelector("a").hash, verdict, profile, document: row.parentNode.dataset.document });
}
for (const form of document.querySelectorAll("form.filter")) {
  const rows = [...document.querySelectorAll("[data-row]")];
  const total = new Set(rows.map((row) => row.dataset.row)).size;
  const apply = () => {
    const wanted = [...form.querySelectorAll("select")].filter((select) => select.value);
    for (const row of rows) row.hidden = !wanted.every((select) => row.dataset[select.name] === select.value);
    for (const line of document.querySelectorAll(".grid tbody tr, .every tbody")) {
      line.hidden = wanted.length > 0 && !line.querySelector("[data-row]:not([hidden])");
    }
    const shown = new Set(rows.filter((row) => !row.hidden).map((row) => row.dataset.row)).size;
    form.querySelector("output").value = wanted.length ? `${shown} of ${total} rows` : "";
    const list = form.nextElementSibling;
    if (wanted.length && list && list.matches("details")) list.open = true;
  };
  form.addEventListener("change", apply);
  form.addEventListener("reset", () => setTimeout(apply));
  form.hidden = form.querySelector("select") === null;
}
addEventListener("click", (event) => {
  const link = event.target.closest("a.copy");
  if (link && navigator.clipboard) navigator.clipboard.writeText(link.href).catch(() => {});
});
const reveal = () => {
  const target = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (!target) return;
  for (let fold = target.closest("details"); fold; fold = fold.parentElement.closest("details")) fold.open = true;
  target.scrollIntoView();
};
addEventListener("hashchange", reveal);
reveal();
