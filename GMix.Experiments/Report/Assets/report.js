(function () {
  "use strict";
  var root = document.documentElement;
  var button = document.getElementById("theme");
  var figures = JSON.parse(document.getElementById("figures").textContent);
  var fine = window.matchMedia("(hover: hover) and (pointer: fine)");
  var dark = window.matchMedia("(prefers-color-scheme: dark)");

  // A page opened from a file may have no storage: then the choice lasts as long as the page.
  function stored() { try { return localStorage.getItem("gmix-theme"); } catch (e) { return null; } }
  function store(value) { try { value ? localStorage.setItem("gmix-theme", value) : localStorage.removeItem("gmix-theme"); } catch (e) { } }

  function variable(name) { return getComputedStyle(root).getPropertyValue(name).trim(); }

  function layoutOf(figure) {
    var ink = variable("--ink"), line = variable("--line"), soft = variable("--soft"), ground = variable("--ground");
    var axis = { gridcolor: line, linecolor: soft, tickcolor: soft, zeroline: false };
    var layout = JSON.parse(JSON.stringify(figure.layout));
    layout.font = { color: ink, family: getComputedStyle(document.body).fontFamily, size: 13 };
    layout.paper_bgcolor = "rgba(0,0,0,0)";
    layout.plot_bgcolor = "rgba(0,0,0,0)";
    layout.margin = { l: 52, r: 12, t: 10, b: 44 };
    layout.hoverlabel = { bgcolor: ground, bordercolor: line, font: { color: ink } };
    layout.legend = { orientation: "h", tracegroupgap: 2, x: 0, xanchor: "left", y: 1.02, yanchor: "bottom", font: { size: 12 } };
    layout.xaxis = Object.assign({}, axis, layout.xaxis, { showgrid: false, ticks: "outside", showline: true });
    layout.yaxis = Object.assign({}, axis, layout.yaxis);
    // a finger scrolls the page; a mouse draws a box to zoom in, a double click goes back
    layout.dragmode = fine.matches ? "zoom" : false;
    return layout;
  }

  function draw() {
    if (!window.Plotly) { return; }
    Object.keys(figures).forEach(function (id) {
      var box = document.getElementById(id);
      if (!box || box.closest("details:not([open])")) { return; }
      box.classList.add("on");
      try {
        var drawn = window.Plotly.react(box.querySelector(".live"), JSON.parse(JSON.stringify(figures[id].data)), layoutOf(figures[id]), {
          responsive: true, displayModeBar: false, scrollZoom: false
        });
        if (drawn && drawn.catch) { drawn.catch(function () { box.classList.remove("on"); }); }
      } catch (e) {
        box.classList.remove("on"); // the still picture stays
      }
    });
  }

  function isDark() { return root.dataset.theme ? root.dataset.theme === "dark" : dark.matches; }

  function apply(theme) {
    if (theme) { root.dataset.theme = theme; } else { delete root.dataset.theme; }
    button.textContent = isDark() ? "Light" : "Dark";
    button.setAttribute("aria-label", isDark() ? "Switch to light colours" : "Switch to dark colours");
    draw();
  }

  // a figure in a closed section has no width to be drawn in
  document.querySelectorAll("details").forEach(function (section) {
    section.addEventListener("toggle", function () { if (section.open && section.querySelector("figure")) { draw(); } });
  });
  button.hidden = false;
  button.addEventListener("click", function () {
    var next = isDark() ? "light" : "dark";
    // back at the system's own choice: follow the system again
    var theme = (next === "dark") === dark.matches ? null : next;
    store(theme);
    apply(theme);
  });
  dark.addEventListener("change", function () { apply(root.dataset.theme || null); });
  apply(stored());
})();
