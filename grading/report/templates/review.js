"use strict";
/* What the pages of a review do beyond being read: they go on within what was filtered, and keep and print reviews.
   They change nothing but their own memory in the browser. */

const read = id => JSON.parse(document.getElementById(id).textContent);
const shared = read("shared"), own = read("own");
const find = selector => document.querySelector(selector);
const findAll = selector => [...document.querySelectorAll(selector)];

const pages = shared.pages.map(([file, text, points, lost, late, flagged, time, who], place) =>
  ({ file, text: folded(text), points, lost, late, flagged, time, who, place }));

function folded(text) {
  return text.normalize("NFKD").replace(/\p{M}/gu, "").toLowerCase();
}


/* Memory: what was typed, by whom it is about, and which pages were opened. */

const storage = (() => {
  try {
    localStorage.setItem("grading review", "");
    return localStorage;
  } catch {
    return null;
  }
})();
const prefix = `grading review ${JSON.stringify([shared.course, shared.homework])} `;

function recall(name) {
  try {
    return JSON.parse(storage.getItem(prefix + name));
  } catch {
    return null;
  }
}

function keep(name, value) {
  try {
    if (value === null) storage.removeItem(prefix + name);
    else storage.setItem(prefix + name, JSON.stringify(value));
    return true;
  } catch {
    return false;
  }
}

/** All reviews of somebody that are complete, those that were put aside first. */
function reviewsOf(who) {
  const kept = recall(`review ${who}`);
  if (!kept || !Array.isArray(kept.aside)) return [];
  return [...kept.aside, kept.draft].filter(one => one && missing(one).length === 0);
}

function everyone() {
  const begin = `${prefix}review `;
  return Object.keys(storage || {}).filter(key => key.startsWith(begin)).map(key => key.slice(begin.length)).sort();
}


/* A review, and the YAML that says it. */

/** "+5", "-2,5" or "5.25" as text that YAML reads as that number; null for anything else. */
function amount(text) {
  const found = /^([+\u2212-]?)(\d{0,4})(?:[.,](\d{0,2}))?$/.exec(text.trim());
  if (!found || !(found[2] || found[3])) return null;
  const value = Number(`${found[2] || 0}.${found[3] || 0}`);
  if (value > 4000) return null;
  return found[1] && found[1] !== "+" && value ? String(-value) : String(value);
}

/** What a review lacks, in words. */
function missing(review) {
  const lacks = [];
  const value = amount(review.value || "");
  if (value === null) lacks.push(review.value ? "points as a number, such as -5 or 2.5" : "points");
  else if (review.kind === "points" && Number(value) === 0) lacks.push("points other than 0");
  else if (review.kind === "set" && Number(value) < 0) lacks.push("points that are not below 0");
  else if (review.kind === "set" && Number(value) > shared.most && !review.bonus) lacks.push(`at most ${shared.most} points, or a bonus`);
  if (!/[^\s\p{C}]/u.test(review.reason || "")) lacks.push("a reason");
  if (!/[^\s\p{C}]/u.test(review.by || "")) lacks.push("your name");
  return lacks;
}

/** A string as JSON writes it, which YAML reads, without characters that YAML does not take as they are. */
function quoted(text) {
  const odd = /[\x7f-\xa0\xad\u061c\u200b-\u200f\u2028-\u202f\u2060-\u206f\ufeff\ufff0-\uffff]/g;
  const escaped = letter => `\\u${letter.charCodeAt(0).toString(16).padStart(4, "0")}`;
  return JSON.stringify(text.replace(/\p{Surrogate}/gu, "\ufffd")).replace(odd, escaped);
}

function yaml(reviews) {
  const lines = ["reviews:"];
  for (const one of reviews) {
    const [, kind, name] = /^(student|team) (.*)$/s.exec(one.for);
    lines.push(`  - ${kind}: ${quoted(name)}`, `    homework: ${quoted(shared.homework)}`);
    if (one.kind !== "set" && one.task) lines.push(`    task: ${quoted(one.task)}`);
    lines.push(`    ${one.kind}: ${amount(one.value)}`);
    if (one.bonus) lines.push("    bonus: true");
    lines.push(`    reason: ${quoted(one.reason)}`);
    if (one.feedback.trim()) lines.push(`    feedback: ${quoted(one.feedback)}`);
    lines.push(`    by: ${quoted(one.by)}`, `    at: ${quoted(one.at)}`);
  }
  return `${lines.join("\n")}\n`;
}

/** This moment, to the second, with the zone that the browser is in. */
function now() {
  const two = number => String(number).padStart(2, "0");
  const moment = new Date(), east = -moment.getTimezoneOffset();
  const local = new Date(moment.getTime() + east * 60000).toISOString().slice(0, 19);
  return `${local}${east < 0 ? "-" : "+"}${two(Math.floor(Math.abs(east) / 60))}:${two(Math.abs(east) % 60)}`;
}

/** Points after reviews, as the grades are computed: nothing lifts them above the most but a bonus. */
function after(points, reviews) {
  for (const one of reviews) {
    const value = Number(amount(one.value));
    const wanted = one.kind === "set" ? value : points + value;
    points = Math.max(0, one.bonus ? wanted : Math.min(wanted, Math.max(own.most, points)));
  }
  return points;
}

const shown = points => String(Math.round(points * 100) / 100);

async function copy(text, button, source) {
  const says = button.textContent;
  try {
    await navigator.clipboard.writeText(text);
    button.textContent = "Copied";
  } catch {
    getSelection().selectAllChildren(source);
    button.textContent = "Selected: now copy it";
  }
  setTimeout(() => { button.textContent = says; }, 2000);
}


/* What is filtered stands in the address, so that it goes from page to page and can be kept. */

const FIELDS = ["q", "task", "min", "max", "show", "sort"];

function filterInAddress() {
  const given = new URLSearchParams(location.hash.slice(1));
  return Object.fromEntries(FIELDS.map(name => [name, given.get(name) || ""]));
}

function asAddress(filter) {
  const set = FIELDS.filter(name => filter[name]).map(name => [name, filter[name]]);
  return set.length ? `#${new URLSearchParams(set)}` : "";
}

function matching(filter) {
  const words = folded(filter.q).split(/\s+/).filter(Boolean);
  const [least, most] = [amount(filter.min), amount(filter.max)];
  const task = shared.tasks.indexOf(filter.task);
  const shows = {
    late: page => page.late,
    flagged: page => page.flagged,
    unseen: page => !recall(`opened ${page.file}`),
    reviewed: page => reviewsOf(page.who).length > 0,
    unreviewed: page => reviewsOf(page.who).length === 0,
  }[filter.show];
  const found = pages.filter(page =>
    words.every(word => page.text.includes(word))
    && (task < 0 || page.lost.includes(task))
    && (least === null || (page.points !== null && page.points >= Number(least)))
    && (most === null || (page.points !== null && page.points <= Number(most)))
    && (!shows || shows(page)));
  if (filter.sort === "points") found.sort((a, b) => (a.points ?? -1) - (b.points ?? -1) || a.place - b.place);
  if (filter.sort === "time") found.sort((a, b) => a.time - b.time || a.place - b.place);
  return found;
}


/* Keys */

function onKeys(keys) {
  const dialog = find("#keys");
  document.addEventListener("keydown", event => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented || dialog.open) return;
    const typing = event.target.closest("input, select, textarea");
    if (typing && event.key === "Escape") typing.blur();
    if (typing) return;
    if (event.key.startsWith("Arrow") && event.target.closest(".scroll, pre")) return; // it scrolls there
    const action = event.key === "?" ? () => dialog.showModal() : keys[event.key];
    if (action) {
      event.preventDefault();
      action();
    }
  });
}

/** A link within the page leaves the address as it is, and opens what is folded. */
function show(id) {
  const target = document.getElementById(id);
  if (!target) return;
  for (let around = target.closest("details"); around; around = around.parentElement.closest("details")) {
    around.open = true;
  }
  for (const line of findAll(".line.here")) line.classList.remove("here");
  if (target.matches(".line")) target.classList.add("here");
  target.scrollIntoView({ block: target.matches(".line") ? "center" : "start" });
  if (!target.hasAttribute("tabindex")) target.setAttribute("tabindex", "-1");
  target.focus({ preventScroll: true });
}

document.addEventListener("click", event => {
  const out = event.target.closest(".cell a[href]");
  if (out) out.target = "_blank";
  const link = event.target.closest('a[href^="#"]');
  if (!link) return;
  event.preventDefault();
  show(link.hash.slice(1));
});


/* One submission */

function onPage() {
  keep(`opened ${own.file}`, 1);
  const filter = filterInAddress();
  const address = asAddress(filter);
  // What depends on what was done here is settled once, so that the way through it does not change on the way.
  const found = steady(filter, address);
  const here = found.findIndex(page => page.file === own.file);
  const place = pages.find(page => page.file === own.file)?.place ?? 0;
  const before = here < 0 ? found.filter(page => page.place < place).at(-1) : found[here - 1];
  const next = here < 0 ? found.find(page => page.place > place) : found[here + 1];
  for (const [name, page] of [["previous", before], ["next", next]]) {
    for (const link of findAll(`a.${name}`)) {
      if (page) link.href = page.file + address;
      else link.removeAttribute("href");
    }
  }
  for (const link of findAll("a.list")) link.href = `index.html${address}`;
  for (const words of findAll(".position")) {
    const all = address ? " filtered" : "";
    words.textContent = here < 0 ? `not among ${found.length}${all}` : `${here + 1} of ${found.length}${all}`;
  }
  const go = name => () => find(`a.${name}[href]`)?.click();
  const unfold = unfolding();
  onKeys({
    j: go("next"), ArrowRight: go("next"), k: go("previous"), ArrowLeft: go("previous"), i: go("list"),
    r: () => find('#form [name="value"]')?.focus(), n: () => show("notebook"), u: unfold,
  });
  for (const button of findAll(".help")) {
    button.hidden = false;
    button.addEventListener("click", () => find("#keys").showModal());
  }
  const form = find("#form");
  if (form) reviewing(form);
}

/** The pages that are filtered; those of "not opened yet" as they were when the list was left. */
function steady(filter, address) {
  const depends = ["unseen", "reviewed", "unreviewed"].includes(filter.show);
  const was = depends ? recall(`way ${address}`) : null;
  if (!was) return matching(filter);
  return was.map(file => pages.find(page => page.file === file)).filter(Boolean);
}

function unfolding() {
  const button = find("#unfold"), folds = findAll("details.starter");
  const turn = () => {
    const open = !folds.every(fold => fold.open);
    for (const fold of folds) fold.open = open;
    if (button) button.textContent = `${open ? "Fold" : "Unfold"} what is as in the starter`;
  };
  if (button && folds.length) {
    button.hidden = false;
    button.addEventListener("click", turn);
  }
  return turn;
}

function reviewing(form) {
  const fields = form.elements, name = `review ${own.who}`;
  const kept = recall(name);
  const aside = kept && Array.isArray(kept.aside) ? kept.aside : [];
  let at = "";

  const draft = () => ({
    for: fields.for.value, kind: fields.kind.value, value: fields.value.value, task: fields.task.value,
    bonus: fields.bonus.checked, reason: fields.reason.value, feedback: fields.feedback.value, by: fields.by.value, at,
  });
  const empty = one => !(one.value || one.reason || one.feedback);

  function fill(one) {
    if (fields.for.options) fields.for.selectedIndex = Math.max(0, [...fields.for.options].findIndex(who => who.value === one?.for));
    fields.kind.value = one?.kind === "set" ? "set" : "points";
    fields.value.value = one?.value ?? "";
    fields.task.value = one?.task ?? "";
    if (fields.task.selectedIndex === -1) fields.task.selectedIndex = 0;
    fields.bonus.checked = one?.bonus === true;
    fields.reason.value = one?.reason ?? "";
    fields.feedback.value = one?.feedback ?? "";
    fields.by.value = one?.by ?? recall("by") ?? "";
    at = one?.at ?? "";
  }

  function say() {
    const one = draft(), lacks = missing(one), complete = lacks.length === 0;
    const all = complete ? [...aside, one] : aside;
    fields.task.disabled = one.kind === "set";
    find("#preview").textContent = preview(one, complete || amount(one.value) !== null);
    find("#status").textContent = empty(one) ? "" : complete ? "For reviews.yml, beside course.yml:" : `Still missing: ${lacks.join(", ")}.`;
    find("#yaml").hidden = !all.length;
    find("#yaml").textContent = all.length ? yaml(all) : "";
    find("#copy").disabled = !all.length;
    find("#another").disabled = !complete;
    find("#kept").replaceChildren(...aside.map(asItem));
  }

  function preview(one, can) {
    if (!can) return "";
    if (own.points === null && one.kind !== "set") return own.unsure ? "added once it is judged" : "";
    return own.points === null
      ? `→ ${shown(after(0, [one]))}`
      : `${shown(after(own.points, aside))} → ${shown(after(own.points, [...aside, one]))}`;
  }

  function asItem(one, place) {
    const item = document.createElement("li"), words = document.createElement("bdi"), button = document.createElement("button");
    words.textContent = `${one.kind === "set" ? "exactly " : Number(amount(one.value)) > 0 ? "+" : ""}${amount(one.value)}: ${one.reason}`;
    button.type = "button";
    button.textContent = "Remove";
    button.setAttribute("aria-label", `Remove ${words.textContent}`);
    button.addEventListener("click", () => {
      aside.splice(place, 1);
      changed();
    });
    item.append(words, button);
    return item;
  }

  function changed() {
    const one = draft();
    const nothing = empty(one) && !aside.length;
    const safe = keep(name, nothing ? null : { aside, draft: one });
    keep("by", one.by);
    say();
    if (!safe && !nothing) find("#status").textContent += " Copy it now: this browser does not keep it.";
  }

  fill(kept?.draft);
  form.hidden = false;
  say();
  form.addEventListener("submit", event => event.preventDefault());
  form.addEventListener("input", () => {
    at = now();
    changed();
  });
  find("#copy").addEventListener("click", () => copy(find("#yaml").textContent, find("#copy"), find("#yaml")));
  find("#another").addEventListener("click", () => {
    aside.push(draft());
    fill(null);
    changed();
    fields.value.focus();
  });
  find("#clear").addEventListener("click", () => {
    fill(null);
    changed();
    fields.value.focus();
  });
}


/* The list of all */

function onList() {
  const form = find("#filter"), rows = findAll("tr[data-place]"), body = rows[0]?.parentElement;

  function apply() {
    const filter = filterInAddress(), address = asAddress(filter), found = matching(filter);
    keep(`way ${address}`, address.includes("show=") ? found.map(page => page.file) : null);
    const among = new Set(found.map(page => page.place));
    for (const row of rows) row.hidden = !among.has(Number(row.dataset.place));
    for (const page of found) body.append(rows[page.place]);
    for (const page of pages) {
      rows[page.place].querySelector("a").href = page.file + address;
      rows[page.place].querySelector(".here").textContent = done(page);
    }
    find("#count").textContent = `${found.length} of ${pages.length}`;
  }

  function done(page) {
    const reviews = reviewsOf(page.who).length;
    return reviews ? `${reviews} ${reviews === 1 ? "review" : "reviews"}` : recall(`opened ${page.file}`) ? "opened" : "";
  }

  if (form) {
    const fromAddress = () => {
      for (const [name, value] of Object.entries(filterInAddress())) form.elements[name].value = value;
      apply();
    };
    const toAddress = () => {
      history.replaceState(null, "", asAddress(Object.fromEntries(new FormData(form))) || location.pathname);
      apply();
    };
    form.hidden = false;
    form.addEventListener("input", toAddress);
    form.addEventListener("submit", event => {
      event.preventDefault();
      find("tr[data-place]:not([hidden]) a")?.focus();
    });
    form.addEventListener("reset", () => setTimeout(toAddress));
    addEventListener("hashchange", fromAddress);
    addEventListener("pageshow", fromAddress);
    fromAddress();
  }
  const step = by => () => {
    const links = findAll("tr[data-place]:not([hidden]) th a");
    const at = links.indexOf(document.activeElement);
    links[Math.min(Math.max(at + by, 0), links.length - 1)]?.focus();
  };
  onKeys({
    j: step(1), ArrowDown: step(1), k: step(-1), ArrowUp: step(-1),
    "/": () => form?.elements.q.focus(), r: () => show("all-title"),
  });
  for (const words of findAll(".keys")) words.hidden = false;
  allReviews(() => { if (form) apply(); });
}

function allReviews(changed) {
  const say = () => {
    const found = everyone().flatMap(who => reviewsOf(who).map(review => ({ who, review })));
    const known = ({ who, review }) => (own.recorded[who] ?? []).includes(Date.parse(review.at));
    const fresh = found.filter(one => !known(one)).map(one => one.review).sort((a, b) => Date.parse(a.at) - Date.parse(b.at));
    const there = found.length - fresh.length;
    find("#about").textContent = [
      fresh.length ? `${fresh.length} to put into reviews.yml, beside course.yml. Where that file has reviews, leave out the first line.` : "None to put into reviews.yml.",
      there ? `${there} of those written here ${there === 1 ? "stands" : "stand"} in it already.` : "",
    ].join(" ");
    find("#yaml").hidden = !fresh.length;
    find("#yaml").textContent = fresh.length ? yaml(fresh) : "";
    find("#copy").disabled = !fresh.length;
    find("#forget").disabled = !everyone().length;
  };
  find("#reviews").hidden = false;
  find("#copy").addEventListener("click", () => copy(find("#yaml").textContent, find("#copy"), find("#yaml")));
  find("#forget").addEventListener("click", () => {
    if (!confirm("Forget every review of this homework that was written in this browser?")) return;
    for (const who of everyone()) keep(`review ${who}`, null);
    say();
    changed();
  });
  addEventListener("storage", say);
  addEventListener("pageshow", say);
  say();
}

if (own.file) onPage();
else onList();
