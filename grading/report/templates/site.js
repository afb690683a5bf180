// Draws a page's figures, and finds and sorts students. Without it every page is whole: its tables say everything.
"use strict";

const here = document.currentScript.src;

// Figures

const plots = [...document.querySelectorAll(".plot")];

function coloured(value, style) {
  if (typeof value === "string") {
    const name = /^var\((--[\w-]+)\)$/.exec(value);
    return name ? style.getPropertyValue(name[1]).trim() : value;
  }
  if (Array.isArray(value)) return value.map((one) => coloured(one, style));
  if (value && typeof value === "object") {
    return Object.fromEntries(Object.entries(value).map(([key, one]) => [key, coloured(one, style)]));
  }
  return value;
}

function draw(plot) {
  const style = getComputedStyle(document.documentElement);
  const { data, layout } = coloured(JSON.parse(plot.nextElementSibling.textContent), style);
  const [text, line] = [style.getPropertyValue("--text").trim(), style.getPropertyValue("--line").trim()];
  const axis = { gridcolor: line, linecolor: line, zerolinecolor: line, showline: true, fixedrange: true };
  Object.assign(layout, {
    xaxis: { ...axis, showgrid: false, automargin: true, ...layout.xaxis },
    yaxis: { ...axis, ...layout.yaxis },
    font: { family: "system-ui, sans-serif", size: 13, color: text },
    paper_bgcolor: "rgba(0,0,0,0)",
    plot_bgcolor: "rgba(0,0,0,0)",
    hoverlabel: { font: { family: "system-ui, sans-serif" } },
  });
  return Plotly.react(plot, data, layout, { displayModeBar: false, responsive: true, showTips: false });
}

async function drawAll() {
  for (const plot of plots) {
    await draw(plot);
    await new Promise((later) => setTimeout(later)); // the page stays alive between two figures
  }
  document.documentElement.dataset.drawn = "yes";
}

function show(drawn) {
  for (const plot of plots) {
    plot.hidden = !drawn;
    plot.style.minHeight = `${JSON.parse(plot.nextElementSibling.textContent).layout.height}px`;
    const table = plot.parentElement.querySelector("details");
    if (!("keep" in table.dataset)) table.open = !drawn;
  }
}

if (plots.length) {
  show(true);
  const library = document.createElement("script");
  library.src = new URL("plotly.min.js", here).href;
  library.addEventListener("error", () => show(false));
  library.addEventListener("load", () => {
    drawAll();
    for (const query of ["(prefers-color-scheme: dark)", "print"]) {
      matchMedia(query).addEventListener("change", drawAll);
    }
  });
  document.head.append(library);
}

// Students

const table = document.getElementById("students");

function plain(text) {
  return text.normalize("NFKD").replace(/\p{M}/gu, "").toLowerCase();
}

function finder(rows) {
  const form = document.querySelector("form.find");
  const [input, found] = [form.querySelector("input"), form.querySelector("output")];
  const texts = new Map(rows.map((row) => [row, plain([...row.cells].slice(0, 3).map((cell) => cell.textContent).join(" "))]));
  const links = () => [...table.tBodies[0].rows].filter((row) => !row.hidden).map((row) => row.querySelector("a"));

  function find() {
    const words = plain(input.value).split(/\s+/).filter(Boolean);
    for (const row of rows) row.hidden = !words.every((word) => texts.get(row).includes(word));
    const count = rows.filter((row) => !row.hidden).length;
    found.value = `${count} student${count === 1 ? "" : "s"}`;
  }

  function move(event) {
    const all = links();
    const at = all.indexOf(document.activeElement);
    if (event.key === "ArrowDown" && at + 1 < all.length) all[at + 1].focus();
    else if (event.key === "ArrowUp" && at >= 0) (at ? all[at - 1] : input).focus();
    else if (event.key === "Escape") {
      input.value = "";
      find();
      input.focus();
    } else return;
    event.preventDefault();
  }

  form.hidden = false;
  input.addEventListener("input", find);
  form.addEventListener("keydown", move);
  table.tBodies[0].addEventListener("keydown", move);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    links()[0]?.click();
  });
  find(); // what a browser kept in the field when it came back
  input.focus();
}

function sorter(rows) {
  const headings = [...table.tHead.rows[0].cells];
  const { compare } = new Intl.Collator(undefined, { numeric: true });
  const places = new Map(rows.map((row, place) => [row, place]));
  const text = (row, column) => row.cells[column].textContent.trim();
  const points = (row, column) => {
    const value = Number.parseFloat(text(row, column));
    return Number.isNaN(value) ? -1 : value; // a word instead of points
  };
  headings.forEach((heading, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = heading.textContent;
    heading.replaceChildren(button);
    const order = (one, other) => {
      if (column === 0) return places.get(one) - places.get(other); // by last name, as it came
      if (heading.className === "number") return points(one, column) - points(other, column);
      return compare(text(one, column), text(other, column));
    };
    button.addEventListener("click", () => {
      const down = heading.ariaSort === "ascending";
      for (const other of headings) other.removeAttribute("aria-sort");
      heading.ariaSort = down ? "descending" : "ascending";
      rows.sort(order);
      if (down) rows.reverse();
      table.tBodies[0].append(...rows);
    });
  });
}

if (table) {
  const rows = [...table.tBodies[0].rows];
  sorter(rows);
  finder(rows);
}
