"use strict";
// Search, choosing and keys. Without this script the drawings and the text are still there.
const { nodes, dialogues } = JSON.parse(document.getElementById("data").textContent);
const drawn = new Map([...document.querySelectorAll(".node")].map((one) => [Number(one.dataset.node), one]));
const lines = [...document.querySelectorAll("[data-from]")];
const buttons = [...document.querySelectorAll(".dialogue")];
const details = document.getElementById("details");
const search = document.getElementById("search");
const found = document.getElementById("found");
const hint = details.innerHTML;
let zoom = 1;

const before = nodes.map(() => []);
nodes.forEach((node, number) => node.after.forEach((after) => before[after].push(number)));

function element(kind, text, ...classes) {
  const made = document.createElement(kind);
  made.textContent = text;
  made.classList.add(...classes);
  return made;
}

// ---- choosing ----

function mark(chosen, pairs) {
  document.body.classList.toggle("choosing", chosen.size > 0);
  drawn.forEach((shape, number) => shape.classList.toggle("on", chosen.has(number)));
  lines.forEach((line) => line.classList.toggle("on", pairs.has(line.dataset.from + ">" + line.dataset.to)));
}

function along(numbers) {
  const chosen = new Set();
  const pairs = new Set();
  for (const number of numbers) {
    dialogues[number].path.forEach((node, place, path) => {
      chosen.add(node);
      if (place) pairs.add(path[place - 1] + ">" + node);
    });
  }
  mark(chosen, pairs);
}

function pressed(number) {
  buttons.forEach((button) => button.setAttribute("aria-pressed", String(Number(button.dataset.dialogue) === number)));
}

function reachable(shape) {
  // One stop of the Tab key for each drawing: where one was last.
  shape.closest("svg").querySelectorAll(".node[tabindex='0']").forEach((other) => other.setAttribute("tabindex", "-1"));
  shape.setAttribute("tabindex", "0");
}

function bring(shape) {
  shape.scrollIntoView({ block: "center", inline: "nearest" });
}

function chooseDialogue(number) {
  const one = dialogues[number];
  along([number]);
  pressed(number);
  const steps = document.createElement("ol");
  one.path.forEach((node) => {
    const item = document.createElement("li");
    item.append(link(node));
    steps.append(item);
  });
  details.replaceChildren(element("h2", one.name), element("p", one.kind + " · " + one.place, "place"), steps);
  const shapes = one.path.map((node) => drawn.get(node));
  bring(shapes[shapes.length - 1]);
  bring(shapes[0]);
}

function link(number) {
  const node = nodes[number];
  const made = element("button", node.label + (node.notes.length ? " (" + node.notes.join("; ") + ")" : ""), "link");
  made.type = "button";
  made.addEventListener("click", () => goTo(number));
  return made;
}

function goTo(number) {
  const shape = drawn.get(number);
  bring(shape);
  shape.focus({ preventScroll: true });
  chooseNode(number);
}

function chooseNode(number) {
  const node = nodes[number];
  along(node.dialogues);
  pressed(-1);
  const shown = [element("h2", node.label), element("p", node.kind + (node.form ? " · while " + node.form + " runs" : ""))];
  node.notes.forEach((note) => shown.push(element("p", note)));
  const through = document.createElement("ul");
  node.dialogues.forEach((dialogue) => {
    const item = document.createElement("li");
    const made = element("button", dialogues[dialogue].name, "link");
    made.type = "button";
    made.addEventListener("click", () => chooseDialogue(dialogue));
    item.append(made, element("span", " " + dialogues[dialogue].place, "place"));
    through.append(item);
  });
  details.replaceChildren(...shown, through);
}

function letGo() {
  mark(new Set(), new Set());
  pressed(-1);
  details.innerHTML = hint;
}

document.addEventListener("click", (event) => {
  const button = event.target.closest(".dialogue");
  const shape = event.target.closest(".node");
  const jump = event.target.closest(".jump");
  if (button) chooseDialogue(Number(button.dataset.dialogue));
  else if (shape) goTo(Number(shape.dataset.node));
  else if (jump) goTo(Number(jump.dataset.jump));
  else if (event.target.closest("svg")) letGo();
});

// ---- keys ----

document.addEventListener("focusin", (event) => {
  const shape = event.target.closest?.(".node");
  if (shape) reachable(shape);
});

document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") {
    search.value = "";
    look();
    letGo();
    return;
  }
  const shape = event.target.closest?.(".node");
  if (!shape) return;
  const number = Number(shape.dataset.node);
  if (event.key === "Enter" || event.key === " ") {
    event.preventDefault();
    chooseNode(number);
  }
  const next = neighbour(number, event.key);
  if (next !== undefined) {
    event.preventDefault();
    bring(drawn.get(next));
    drawn.get(next).focus({ preventScroll: true });
  }
});

function neighbour(number, key) {
  if (key === "ArrowRight") return nodes[number].after[0];
  if (key === "ArrowLeft") return before[number][0];
  if (key !== "ArrowDown" && key !== "ArrowUp") return undefined;
  // Among those that are drawn in the same column, the nearest below or above.
  const box = (one) => drawn.get(one).querySelector("rect");
  const [x, y] = [box(number).x.baseVal.value, box(number).y.baseVal.value];
  const down = key === "ArrowDown";
  const svg = drawn.get(number).closest("svg");
  let best;
  drawn.forEach((shape, other) => {
    const there = shape.querySelector("rect");
    const far = (there.y.baseVal.value - y) * (down ? 1 : -1);
    if (shape.closest("svg") !== svg || there.x.baseVal.value !== x || far <= 0) return;
    if (best === undefined || far < best[1]) best = [other, far];
  });
  return best?.[0];
}

// ---- search and size ----

function look() {
  const words = search.value.trim().toLowerCase();
  const hits = new Set();
  nodes.forEach((node, number) => {
    if (words && [node.label, ...node.notes].some((text) => text.toLowerCase().includes(words))) hits.add(number);
  });
  drawn.forEach((shape, number) => shape.classList.toggle("hit", hits.has(number)));
  let shown = 0;
  buttons.forEach((button) => {
    const one = dialogues[Number(button.dataset.dialogue)];
    const fits = !words || (one.name + " " + one.place).toLowerCase().includes(words) || one.path.some((node) => hits.has(node));
    button.closest("li").hidden = !fits;
    shown += fits;
  });
  found.textContent = words ? shown + " of " + dialogues.length + " dialogues" : "";
  return hits;
}

search.addEventListener("input", () => {
  const [first] = look();
  if (first !== undefined) bring(drawn.get(first));
});

search.addEventListener("keydown", (event) => {
  if (event.key !== "Enter") return;
  const hits = [...look()];
  if (hits.length) goTo(hits[0]);
});

function resize(factor) {
  zoom = Math.min(2, Math.max(0.3, zoom * factor));
  document.querySelectorAll("svg").forEach((svg) => {
    const [, , width, height] = svg.getAttribute("viewBox").split(" ").map(Number);
    svg.setAttribute("width", width * zoom);
    svg.setAttribute("height", height * zoom);
  });
}

document.getElementById("smaller").addEventListener("click", () => resize(1 / 1.25));
document.getElementById("larger").addEventListener("click", () => resize(1.25));
document.querySelectorAll("svg").forEach((svg) => svg.querySelector(".node")?.setAttribute("tabindex", "0"));
