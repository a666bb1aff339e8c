(function () {
  "use strict";
  var root = document.documentElement, button = document.getElementById("ui"), asked = location.hash.slice(1);

  function show(language) {
    root.setAttribute("data-ui", language);
    root.lang = language === "zh" ? "zh-Hans" : "en";
  }
  show(asked === "zh" || asked === "en" ? asked : /^zh/i.test(navigator.language || "") ? "zh" : "en");
  button.hidden = false;
  button.addEventListener("click", function () {
    show(root.getAttribute("data-ui") === "zh" ? "en" : "zh");
  });
  document.addEventListener("DOMContentLoaded", types);

  // Everything below draws with text nodes only: what it shows comes from the corpus and from models.
  function make(tag, kind, children) {
    var element = document.createElement(tag);
    if (kind) element.className = kind;
    (Array.isArray(children) ? children : [children]).forEach(function (child) {
      if (child === undefined || child === null) return;
      element.appendChild(typeof child === "object" ? child : document.createTextNode(String(child)));
    });
    return element;
  }

  function both(english, chinese) {
    var pair = document.createDocumentFragment();
    pair.appendChild(make("span", "en", english));
    pair.appendChild(make("span", "zh", chinese));
    return pair;
  }

  function item(text) {
    return make("span", "item", text);
  }

  function many(n) {
    return String(n).replace(/\B(?=(\d{3})+$)/g, ",");
  }

  function plain(text) {
    return (text.normalize ? text.normalize("NFKC") : text).toLowerCase();
  }

  function types() {
    var source = document.getElementById("type-data");
    if (!source) return;
    var FIRST = 20, STEP = 200, NAME = 0, LANG = 1, MENTIONS = 2, PASSAGES = 3, EXAMPLES = 4, VARIANTS = 5,
      VARIANT_COUNT = 6, SHARE = 7, OTHERS = 8, SAID = 9;
    var data = JSON.parse(source.textContent), body = document.getElementById("type-rows"),
      box = document.getElementById("type-search"), more = document.getElementById("type-more"),
      search = document.getElementById("type-find"), none = document.getElementById("type-none"),
      choices = box.querySelectorAll("button[data-lang]"), heads = box.querySelectorAll("th button"),
      lang = -1, column = "mentions", down = true, shown = FIRST, found = [];
    var keys = { mentions: MENTIONS, passages: PASSAGES, variants: VARIANT_COUNT, unstable: SHARE };
    var collator = new Intl.Collator(["zh-Hans", "en"]);

    data.rows.forEach(function (row) {
      var names = row[VARIANTS].map(function (pair) { return pair[0]; });
      row[SAID] = plain([row[NAME]].concat(row[EXAMPLES], names).join("\n"));
    });

    function compare(a, b) {
      var order;
      if (column === "type") order = collator.compare(a[NAME], b[NAME]);
      else if (column === "lang") order = a[LANG] - b[LANG];
      else {
        var x = a[keys[column]], y = b[keys[column]];
        if (x === null || y === null) return (x === null) - (y === null) || b[MENTIONS] - a[MENTIONS];
        order = x - y;
      }
      return (down ? -order : order) || b[MENTIONS] - a[MENTIONS];
    }

    function cell(row, name) {
      if (name === "type") {
        var head = make("th", "data", row[NAME]);
        head.scope = "row";
        return head;
      }
      if (name === "lang") return make("td", "lang", both(data.langs[row[LANG]][0], data.langs[row[LANG]][1]));
      if (name === "mentions") {
        var bar = make("span", "", null);
        bar.style.width = (100 * row[MENTIONS] / data.most).toFixed(1) + "%";
        return make("td", "num mentions", [many(row[MENTIONS]), make("span", "bar", bar)]);
      }
      if (name === "passages") return make("td", "num passages", many(row[PASSAGES]));
      if (name === "examples") return make("td", "data examples", row[EXAMPLES].map(item));
      if (name === "variants") {
        var parts = row[VARIANTS].map(function (pair) { return item(pair[0] + " " + many(pair[1])); });
        var rest = row[VARIANT_COUNT] - parts.length;
        return make("td", "data variants", rest > 0 ? parts.concat(item("+" + many(rest))) : parts);
      }
      if (row[SHARE] === null) return make("td", "unstable none", make("span", "soft", "–"));
      var share = make("b", "item", Math.round(100 * row[SHARE]) + " %");
      return make("td", "data unstable", [share].concat(row[OTHERS].map(item)));
    }

    function fill() {
      var rows = document.createDocumentFragment();
      found.slice(0, shown).forEach(function (row) {
        var loud = row[SHARE] !== null && row[SHARE] >= data.unstable;
        rows.appendChild(make("tr", loud ? "loud" : "", data.columns.map(function (name) { return cell(row, name); })));
      });
      body.textContent = "";
      body.appendChild(rows);
      box.querySelectorAll(".n-shown").forEach(function (n) { n.textContent = many(Math.min(shown, found.length)); });
      box.querySelectorAll(".n-found").forEach(function (n) { n.textContent = many(found.length); });
      more.hidden = shown >= found.length;
      none.hidden = found.length > 0;
    }

    function pick() {
      var wanted = plain(search.value.trim());
      found = data.rows.filter(function (row) {
        return (lang < 0 || row[LANG] === lang) && (!wanted || row[SAID].indexOf(wanted) >= 0);
      }).sort(compare);
      shown = FIRST;
      fill();
    }

    search.addEventListener("input", pick);
    more.addEventListener("click", function () {
      shown += STEP;
      fill();
    });
    choices.forEach(function (choice) {
      choice.addEventListener("click", function () {
        lang = Number(choice.getAttribute("data-lang"));
        choices.forEach(function (other) { other.setAttribute("aria-pressed", String(other === choice)); });
        pick();
      });
    });
    heads.forEach(function (head) {
      head.addEventListener("click", function () {
        var name = head.getAttribute("data-column");
        down = column === name ? !down : name !== "type" && name !== "lang";
        column = name;
        heads.forEach(function (other) { other.parentNode.removeAttribute("aria-sort"); });
        head.parentNode.setAttribute("aria-sort", down ? "descending" : "ascending");
        pick();
      });
    });
    document.getElementById("type-top").hidden = true;
    box.hidden = false;
    pick();
  }
})();
