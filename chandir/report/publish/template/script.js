"use strict";

// A click on a column's title sorts each group's rows by it: groups are not comparable.
for (const button of document.querySelectorAll("thead button")) {
  button.addEventListener("click", () => {
    const title = button.closest("th");
    const column = title.cellIndex;
    const up = title.getAttribute("aria-sort") !== "ascending";
    for (const other of title.parentElement.children) other.removeAttribute("aria-sort");
    title.setAttribute("aria-sort", up ? "ascending" : "descending");
    const compare = (a, b) => {
      const [x, y] = [a.cells[column], b.cells[column]];
      if (x.classList.contains("number")) {
        const [u, v] = [x.dataset.value, y.dataset.value];
        if (u === undefined || v === undefined) return (u === undefined) - (v === undefined);
        return up ? u - v : v - u;
      }
      const order = x.textContent.localeCompare(y.textContent, "en", { numeric: true });
      return up ? order : -order;
    };
    for (const body of title.closest("table").tBodies) {
      const total = body.querySelectorAll(".total");
      body.append(...[...body.querySelectorAll("tr:not(.group, .total)")].sort(compare), ...total);
    }
  });
}

// A figure opens large: its image moves into the dialog and back.
const dialog = document.querySelector("dialog");
const large = dialog.querySelector(".large");
let home = null;
for (const button of document.querySelectorAll("button.image")) {
  button.addEventListener("click", () => {
    home = button;
    large.replaceChildren(button.querySelector(".wide svg"));
    dialog.showModal();
  });
}
dialog.addEventListener("close", () => home.querySelector(".wide").append(large.firstElementChild));
dialog.addEventListener("click", (event) => {
  if (event.target === dialog) dialog.close();
});

// A link to something folded unfolds it, and what lies around it; so does paper.
const unfold = () => {
  const target = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
  for (let at = target; at; at = at.parentElement) if (at.tagName === "DETAILS") at.open = true;
  if (target) target.scrollIntoView();
};
addEventListener("hashchange", unfold);
for (const link of document.querySelectorAll('a[href^="#"]')) {
  link.addEventListener("click", () => link.hash === location.hash && unfold());
}
unfold();

let folded = [];
addEventListener("beforeprint", () => {
  folded = [...document.querySelectorAll("details:not([open])")];
  for (const fold of folded) fold.open = true;
});
addEventListener("afterprint", () => {
  for (const fold of folded) fold.open = false;
});
