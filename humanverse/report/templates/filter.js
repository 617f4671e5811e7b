"use strict";
for (const form of document.querySelectorAll("form.filter")) {
  const figures = [...document.querySelectorAll("#" + form.dataset.of + " [data-text]")];
  const shown = form.querySelector("output");
  const apply = () => {
    const asked = Object.fromEntries(new FormData(form));
    let count = 0;
    for (const figure of figures) {
      const fits = Object.entries(asked).every(([name, value]) =>
        name === "text"
          ? figure.dataset.text.toLowerCase().includes(value.toLowerCase())
          : value === "" || figure.dataset[name] === value);
      figure.hidden = !fits;
      count += fits;
    }
    for (const group of document.querySelectorAll("#" + form.dataset.of + " [data-group]"))
      group.hidden = !group.querySelector("[data-text]:not([hidden])");
    shown.value = count + " of " + figures.length;
  };
  form.addEventListener("input", apply);
  form.addEventListener("submit", (event) => event.preventDefault());
  form.hidden = false;
  apply();
}
