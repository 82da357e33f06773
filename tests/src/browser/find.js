// What a person finds on a page by its words. Arguments: "field" or "button", the words, and, where several are called
// the same, words of the row or part of the page that is meant. Answers all that fit.
const [kind, text, within] = arguments;
const CONTROLS = "input, select, textarea";
const words = (string) => string.replace(/\s+/g, " ").trim();

// Without what hints, errors and nested fields say.
function says(element) {
  const copy = element.cloneNode(true);
  for (const part of copy.querySelectorAll(`${CONTROLS}, .help, .error, .faint, .hidden`)) part.remove();
  return words(copy.textContent);
}

function isCalled(element) {
  return [says(element), words(element.innerText), element.getAttribute("aria-label")].includes(text);
}

function part() {
  const holds = (element) =>
    words(element.innerText).includes(within) ||
    [...element.querySelectorAll(CONTROLS)].some((field) => field.value === within);
  const parts = [...document.querySelectorAll("tr, li, .row, fieldset, form, section, .card")].filter(holds);
  return parts.filter((outer) => !parts.some((inner) => inner !== outer && outer.contains(inner)));
}

const found = new Set();
for (const root of within === null ? [document] : part()) {
  if (kind === "field") {
    for (const label of root.querySelectorAll("label")) if (label.control && isCalled(label)) found.add(label.control);
    for (const field of root.querySelectorAll(CONTROLS)) if (field.getAttribute("aria-label") === text) found.add(field);
  } else {
    for (const button of root.querySelectorAll("button, a[href], summary")) if (isCalled(button)) found.add(button);
  }
}
return [...found].filter((element) => element.checkVisibility({ visibilityProperty: true }));
