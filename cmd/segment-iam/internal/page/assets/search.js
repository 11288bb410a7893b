"use strict";
// Lists the sections whose heading or facts contain what is typed.
const most = 50;
const input = document.getElementById("q");
const found = document.getElementById("found");
const things = Array.from(document.querySelectorAll("section.thing"), (section) => {
  const title = section.querySelector("h3").textContent;
  const facts = section.querySelector("dl");
  return { id: section.id, title, text: (title + " " + (facts ? facts.textContent : "")).toLowerCase() };
});
input.addEventListener("input", () => {
  const wanted = input.value.trim().toLowerCase();
  const matches = wanted === "" ? [] : things.filter((thing) => thing.text.includes(wanted));
  found.replaceChildren(...matches.slice(0, most).map((thing) => {
    const link = document.createElement("a");
    link.href = "#" + thing.id;
    link.textContent = thing.title;
    const item = document.createElement("li");
    item.append(link);
    return item;
  }));
  if (matches.length > most || (wanted !== "" && matches.length === 0)) {
    const item = document.createElement("li");
    item.textContent = matches.length === 0 ? "No matches." : "and " + (matches.length - most) + " more";
    found.append(item);
  }
});
