// Opens the page in the browser's language, and a section when a link leads into it. The page reads without it.
(() => {
  const radios = [...document.querySelectorAll('input[name="language"]')];
  const key = "suffuse-language";

  const choose = (language) => {
    const radio = radios.find((r) => r.id === `language-${language}`);
    if (radio) {
      radio.checked = true;
      document.documentElement.lang = language;
    }
    return Boolean(radio);
  };

  const stored = () => {
    try {
      return localStorage.getItem(key);
    } catch {
      return null;
    }
  };

  for (const radio of radios) {
    radio.addEventListener("change", () => {
      choose(radio.id.replace("language-", ""));
      try {
        localStorage.setItem(key, document.documentElement.lang);
      } catch {
        // a page of a file may have no storage
      }
    });
  }

  const show = (id) => {
    const target = document.getElementById(id);
    if (!target) return;
    const body = target.closest("main");
    if (body) choose(body.lang);
    for (let part = target.closest("details"); part; part = part.parentElement.closest("details")) part.open = true;
    target.scrollIntoView();
  };

  const showHash = () => show(decodeURIComponent(location.hash.slice(1)));

  choose(stored()) || [...(navigator.languages || [navigator.language])].some((tag) => choose(tag.slice(0, 2).toLowerCase()));
  addEventListener("hashchange", showHash);
  document.addEventListener("click", (event) => {
    const link = event.target.closest('a[href^="#"]');
    if (link && link.hash === location.hash) showHash();
  });
  for (const button of document.querySelectorAll("button.open-all")) {
    button.hidden = false;
    button.addEventListener("click", () => {
      const sections = [...button.closest("main").querySelectorAll("details.section")];
      const open = sections.some((section) => !section.open);
      for (const section of sections) section.open = open;
    });
  }

  let closed = [];
  addEventListener("beforeprint", () => {
    closed = [...document.querySelectorAll("main details:not([open])")];
    for (const part of closed) part.open = true;
  });
  addEventListener("afterprint", () => {
    for (const part of closed) part.open = false;
  });
  if (location.hash) showHash();
  else if (matchMedia("(max-width: 560px)").matches) {
    for (const section of document.querySelectorAll("details.section[open]")) section.open = false;
  }
})();
