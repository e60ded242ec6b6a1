"use strict";
// Filters by backend and precision, kept in the address (#backend=ncnn&precision=fp32) so that a view can be shared.
const boxes = [...document.querySelectorAll(".filters input")];
const rows = [...document.querySelectorAll("[data-backend]")];
const told = document.getElementById("told");
const keys = ["backend", "precision"];

function chosen(key) {
  return boxes.filter((box) => box.name === key && box.checked).map((box) => box.value);
}

function filter() {
  const wanted = Object.fromEntries(keys.map((key) => [key, chosen(key)]));
  for (const row of rows) {
    row.toggleAttribute("hidden", !keys.every((key) => wanted[key].includes(row.dataset[key])));
  }
  const figures = rows.filter((row) => row.tagName === "FIGURE");
  const shown = figures.filter((row) => !row.hasAttribute("hidden")).length;
  document.getElementById("shown").textContent = `${shown} of ${figures.length} rows shown`;
}

function remember() {
  const all = (key) => boxes.filter((box) => box.name === key).length;
  const parts = keys.filter((key) => chosen(key).length < all(key));
  const hash = parts.map((key) => `${key}=${chosen(key).map(encodeURIComponent).join(",")}`).join("&");
  history.replaceState(null, "", hash ? `#${hash}` : location.pathname + location.search);
}

function recall() {
  for (const part of location.hash.slice(1).split("&")) {
    const [key, values = ""] = part.split("=");
    const wanted = values.split(",").map(decodeURIComponent);
    for (const box of boxes) {
      if (box.name === key) box.checked = wanted.includes(box.value);
    }
  }
  filter();
}

for (const box of boxes) {
  box.addEventListener("change", () => { filter(); remember(); });
}
for (const point of document.querySelectorAll(".point")) {
  for (const event of ["pointerenter", "focus", "click"]) {
    point.addEventListener(event, () => { told.textContent = point.getAttribute("aria-label"); });
  }
}
window.addEventListener("hashchange", recall);
recall();
