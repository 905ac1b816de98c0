// Light, dark, or as the system has it. Runs before the page is drawn, so that it does not flash.
(() => {
  const root = document.documentElement;
  const order = ["auto", "light", "dark"];
  let theme = "auto";
  try {
    theme = localStorage.getItem("rr-theme") ?? "auto";
  } catch {
    // Storage may be forbidden; then the choice lasts as long as the page.
  }
  if (!order.includes(theme)) theme = "auto";
  root.dataset.theme = theme;

  const show = (button) => {
    button.dataset.theme = theme;
    button.querySelector("[data-word]").textContent = { auto: "Auto", light: "Light", dark: "Dark" }[theme];
    button.setAttribute("aria-label", `Colours: ${theme}. Change`);
  };

  addEventListener("DOMContentLoaded", () => {
    const button = document.getElementById("theme");
    show(button);
    button.addEventListener("click", () => {
      theme = order[(order.indexOf(theme) + 1) % order.length];
      root.dataset.theme = theme;
      try {
        localStorage.setItem("rr-theme", theme);
      } catch {
        // As above.
      }
      show(button);
      document.dispatchEvent(new CustomEvent("rr:theme"));
    });
  });
})();
