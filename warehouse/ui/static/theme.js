// Runs before the page is drawn, so that a chosen theme does not flash.
"use strict";
const chosenTheme = localStorage.getItem("warehouse.theme");
if (chosenTheme) document.documentElement.dataset.theme = chosenTheme;
