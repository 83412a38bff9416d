// The web chat as one custom element, for the page at `/` and for any other web page:
//
//   <script src="https://bot.example/webchat/widget.js" defer></script>
//   <frontdesk-chat server="https://bot.example" language="en" title-text="Example Bank"></frontdesk-chat>
//
// Nothing is loaded from anywhere else, and nothing the bot says is ever read as HTML.
// A page with a Content-Security-Policy allows the bot's address in script-src, style-src and connect-src.
(() => {
  "use strict";

  const WORDS = {
    en: {
      name: "Chat",
      disclosure: "Automated assistant",
      hello: "How can we help?",
      welcome: "Ask in your own words.",
      write: "Write a message…",
      label: "Your message",
      send: "Send",
      restart: "New conversation",
      close: "Close the chat",
      open: "Open the chat",
      log: "Conversation",
      you: "You said:",
      bot: "Assistant:",
      typing: "The assistant is writing",
      unreachable: "Cannot reach the assistant. Trying again…",
      kept: "Cannot reach the assistant. Your message is kept and will be sent.",
      moment: "One moment, please…",
      busy: "One moment, please. Your message is kept and will be answered.",
      unsent: "Not sent yet",
      refused: "Not sent.",
      tooLong: "Not sent: the message is too long.",
      image: "Picture from the assistant",
      attachment: "Attachment",
      other: ["中文", "zh", "切换到中文"],
    },
    zh: {
      name: "在线客服",
      disclosure: "自动助理",
      hello: "您好，请问需要什么帮助？",
      welcome: "请用自己的话提问。",
      write: "请输入消息…",
      label: "您的消息",
      send: "发送",
      restart: "新对话",
      close: "关闭聊天",
      open: "打开聊天",
      log: "对话内容",
      you: "您说：",
      bot: "助理：",
      typing: "助理正在输入",
      unreachable: "暂时无法连接助理，正在重试…",
      kept: "暂时无法连接助理。您的消息已保留，稍后会自动发送。",
      moment: "请稍候…",
      busy: "请稍候，您的消息已保留，很快会得到答复。",
      unsent: "尚未发送",
      refused: "未发送。",
      tooLong: "未发送：消息太长。",
      image: "助理发来的图片",
      attachment: "附件",
      other: ["English", "en", "Switch to English"],
    },
  };
  const ICONS = {
    chat: "M4 5h16v11H9l-5 4z",
    close: "M6 6l12 12M18 6L6 18",
    restart: "M5 12a7 7 0 1 0 2.3-5.2M5 4v4h4",
    send: "M4 12h14M12 5l7 7-7 7",
  };
  const LONGEST_WAIT = 60_000; // Milliseconds until a silent server counts as out of reach.
  const LATEST_RETRY = 15_000;
  const SOON = 2000; // Milliseconds until the page asks whether the bot has said something by itself;
  const LATER = 5000; // and so many when nothing has been said for a while.
  const TOGETHER = { messages: 20, characters: 20_000 }; // What the server takes in one request.
  const PATIENCE = 300; // Milliseconds before the assistant is seen to write: a quick answer needs no dots.
  const HOME = new URL(".", document.currentScript.src).href;

  // ---- building blocks ----

  function element(name, properties = {}, ...children) {
    const made = document.createElement(name);
    for (const [key, value] of Object.entries(properties)) {
      if (key in made) made[key] = value;
      else made.setAttribute(key, value);
    }
    made.append(...children);
    return made;
  }

  function icon(name) {
    const space = "http://www.w3.org/2000/svg";
    const svg = document.createElementNS(space, "svg");
    const path = document.createElementNS(space, "path");
    const look = { viewBox: "0 0 24 24", fill: "none", stroke: "currentColor", "stroke-width": "2",
      "stroke-linecap": "round", "stroke-linejoin": "round", "aria-hidden": "true" };
    for (const [key, value] of Object.entries(look)) svg.setAttribute(key, value);
    path.setAttribute("d", ICONS[name]);
    svg.append(path);
    return svg;
  }

  // Drawn from the system's randomness, also where `crypto.randomUUID` is missing (pages without https).
  function randomId() {
    const bytes = crypto.getRandomValues(new Uint8Array(16));
    bytes[6] = (bytes[6] & 0x0f) | 0x40;
    bytes[8] = (bytes[8] & 0x3f) | 0x80;
    const hex = [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
    return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join("-");
  }

  // Only addresses of the web, so that no `javascript:` can hide in a button or a picture.
  function webAddress(value) {
    try {
      const url = new URL(value);
      return ["https:", "http:"].includes(url.protocol) ? url.href : null;
    } catch {
      return null;
    }
  }

  // Text with its web addresses as links; everything else stays text.
  function linked(text) {
    const found = /https?:\/\/[^\s<>"'，。；、）】]+[^\s<>"'，。；、）】.,;:!?)\]]/g;
    const parts = [];
    let end = 0;
    for (const match of text.matchAll(found)) {
      parts.push(text.slice(end, match.index), outward(match[0], match[0]));
      end = match.index + match[0].length;
    }
    return [...parts, text.slice(end)];
  }

  function outward(address, text, look = "") {
    const href = webAddress(address);
    if (!href) return document.createTextNode(text);
    return element("a", { href, target: "_blank", rel: "noopener noreferrer", className: look }, text);
  }

  // Until the time is over, or the browser is online again.
  const wait = (milliseconds) => new Promise((resolve) => {
    setTimeout(resolve, milliseconds);
    window.addEventListener("online", resolve, { once: true });
  });

  const clock = (time, language) => time.toLocaleTimeString(language, { hour: "numeric", minute: "2-digit" });

  // ---- what is kept in the browser; a browser that keeps nothing still chats ----

  class Memory {
    constructor(server) {
      this.prefix = `frontdesk:${server}:`;
      this.unkept = {};
    }
    get(key) {
      if (key in this.unkept) return this.unkept[key];
      try {
        return JSON.parse(localStorage.getItem(this.prefix + key));
      } catch {
        return null;
      }
    }
    set(key, value) {
      try {
        localStorage.setItem(this.prefix + key, JSON.stringify(value));
        delete this.unkept[key];
      } catch {
        this.unkept[key] = value; // Storage is full or forbidden.
      }
    }
  }

  class Refused extends Error {
    constructor(status) {
      super(`refused with ${status}`);
      this.status = status;
    }
  }

  // The server is there, and asks for patience.
  class Busy extends Error {
    constructor(seconds) {
      super("busy");
      this.pause = Math.min(Number(seconds) || 0, 60) * 1000;
    }
  }

  // What one conversation has on this page: what waits for its answer, where each message of the visitor is shown,
  // how many events of the conversation are shown, and which message was sent last.
  class Talk {
    queue = [];
    turns = new Map();
    position = 0;
    sending = null;
    oneByOne = false;
  }

  // The beginning of the queue that goes in one request.
  function together(queue, most) {
    const batch = [];
    let characters = 0;
    for (const message of queue) {
      characters += message.message.length + (message.payload?.length ?? 0);
      if (batch.length && (batch.length === most || characters > TOGETHER.characters)) break;
      batch.push(message);
    }
    return batch;
  }

  // ---- the chat ----

  class FrontdeskChat extends HTMLElement {
    connectedCallback() {
      if (this.shadowRoot) {
        this.ask(); // It was moved to another place of the page.
        return;
      }
      this.server = (this.getAttribute("server") || new URL("..", HOME).href).replace(/\/+$/, "");
      this.memory = new Memory(this.server);
      this.look = { title: "", welcome: "", languages: [], suggestions: [] };
      this.talk = new Talk();
      this.tabs = new BroadcastChannel(`frontdesk:${this.server}`);
      this.tabs.onmessage = (event) => this.hear(event.data);
      this.pause = SOON;
      document.addEventListener("visibilitychange", () => this.ask());
      window.addEventListener("online", () => this.ask());
      this.language = this.memory.get("language") || this.firstLanguage();
      this.build();
      this.translate();
      if (this.hasAttribute("page") || this.memory.get("open")) this.open(false);
    }

    firstLanguage() {
      const wanted = this.getAttribute("language") || navigator.language || "en";
      return wanted.toLowerCase().startsWith("zh") ? "zh" : "en";
    }

    get words() {
      return WORDS[this.language];
    }

    // A setting is one for all, or given by language.
    spoken(setting) {
      if (typeof setting === "string" || Array.isArray(setting)) return setting;
      return setting[this.language] ?? setting[this.look.languages[0]] ?? "";
    }

    // -- what is seen --

    build() {
      this.title_ = element("h1");
      this.disclosure = element("p", { className: "disclosure" });
      this.switch = element("button", { type: "button", onclick: () => this.speak(this.words.other[1]) });
      this.restartButton = element("button", { type: "button", className: "restart", onclick: () => this.restart() },
        icon("restart"));
      this.closeButton = element("button", { type: "button", className: "close", onclick: () => this.close() },
        icon("close"));
      this.welcome = element("div", { className: "welcome" });
      this.log = element("div", { className: "log", role: "log", tabIndex: 0, "aria-live": "polite" });
      this.status = element("p", { className: "status", role: "alert", hidden: true });
      this.input = element("textarea", { id: "message", rows: 1, maxLength: 10_000, autocomplete: "off",
        enterKeyHint: "send", dir: "auto", oninput: () => this.written(), onkeydown: (event) => this.typed(event) });
      this.label = element("label", { className: "unseen", htmlFor: "message" });
      this.sendButton = element("button", { className: "send", disabled: true }, icon("send"));
      const form = element("form", { onsubmit: (event) => this.submit(event) }, this.label, this.input,
        this.sendButton);
      const header = element("header", {}, element("div", { className: "who" }, this.title_, this.disclosure),
        this.switch, this.restartButton, this.closeButton);
      this.panel = element("section", { className: "panel", hidden: true,
        onkeydown: (event) => {
          if (event.key === "Escape") this.close();
        } }, header, this.log, this.status, form);
      this.launcher = element("button", { type: "button", className: "launcher", "aria-expanded": "false",
        onclick: () => (this.panel.hidden ? this.open(true) : this.close()) }, icon("chat"));
      this.typing = element("div", { className: "turn bot writing" },
        element("div", { className: "bubble typing", role: "img" }, element("i"), element("i"), element("i")));

      const root = this.attachShadow({ mode: "open" });
      // Unstyled, it would flash across the page. What is not visible cannot have the focus either.
      this.style.visibility = "hidden";
      const appear = () => {
        this.style.visibility = "";
        if (this.hasAttribute("page")) this.input.focus();
      };
      const sheet = element("link", { rel: "stylesheet", href: HOME + "widget.css", onload: appear, onerror: appear });
      root.append(sheet, this.panel, this.launcher);
    }

    translate() {
      const words = this.words;
      const name = this.getAttribute("title-text") || this.spoken(this.look.title) || words.name;
      this.title_.textContent = name;
      this.disclosure.textContent = words.disclosure;
      this.panel.setAttribute("aria-label", name);
      this.panel.lang = this.language === "zh" ? "zh-CN" : "en";
      [this.switch.textContent, , this.switch.title] = words.other;
      this.switch.lang = this.language === "zh" ? "en" : "zh-CN";
      this.switch.hidden = !["en", "zh"].every((code) => this.look.languages.includes(code));
      for (const [button, text] of [[this.restartButton, words.restart], [this.closeButton, words.close],
        [this.launcher, this.panel.hidden ? words.open : words.close], [this.sendButton, words.send]]) {
        button.title = text;
        button.setAttribute("aria-label", text);
      }
      this.log.setAttribute("aria-label", words.log);
      this.label.textContent = words.label;
      this.input.placeholder = words.write;
      this.typing.firstChild.setAttribute("aria-label", words.typing);
      if (!this.status.hidden) this.complain(this.trouble);
      const suggestions = [...this.spoken(this.look.suggestions)];
      this.welcome.replaceChildren(icon("chat"), element("h2", {}, words.hello),
        element("p", {}, this.spoken(this.look.welcome) || words.welcome),
        this.choices(suggestions.map((title) => ({ title }))));
      if (this.hasAttribute("page")) {
        document.title = name;
        document.documentElement.lang = this.panel.lang;
      }
    }

    speak(language) {
      this.language = language;
      this.memory.set("language", language);
      this.translate();
    }

    open(focus) {
      this.panel.hidden = false;
      this.launcher.setAttribute("aria-expanded", "true");
      this.memory.set("open", true);
      this.translate();
      if (this.loaded) this.ask();
      else this.load();
      if (focus) this.input.focus();
      this.toEnd();
    }

    close() {
      if (this.hasAttribute("page")) return;
      this.panel.hidden = true;
      this.launcher.setAttribute("aria-expanded", "false");
      this.memory.set("open", false);
      this.translate();
      this.launcher.focus();
    }

    // Down to what was said last, but no further than lets an answer be read from its beginning.
    toEnd() {
      const beginning = this.answer?.isConnected ? this.answer.offsetTop - 72 : Infinity;
      this.log.scrollTop = Math.min(this.log.scrollHeight, beginning);
      this.follows = true;
    }

    // What is not answered yet stays below all that is.
    add(turn) {
      this.log.insertBefore(turn, this.log.querySelector(".waiting, .writing"));
    }

    show(message) {
      const user = message.from === "user";
      const time = new Date((message.time || Date.now() / 1000) * 1000);
      this.showDay(time);
      const turn = element("div", { className: `turn ${user ? "user" : "bot"}` });
      turn.append(element("span", { className: "unseen" }, user ? this.words.you : this.words.bot));
      if (message.text) turn.append(this.bubble(message));
      if (message.image && webAddress(message.image)) turn.append(this.picture(webAddress(message.image)));
      if (typeof message.attachment === "string") {
        turn.append(element("div", { className: "bubble" }, outward(message.attachment, this.words.attachment)));
      }
      if (message.buttons?.length) turn.append(this.choices(message.buttons));
      turn.append(element("time", { dateTime: time.toISOString() }, clock(time, this.panel.lang)));
      this.welcome.remove();
      this.restartButton.hidden = false;
      this.add(turn);
      if (user) this.answer = null;
      else this.answer ??= turn;
      for (const part of user ? [] : message.elements || []) this.show({ ...asMessage(part), from: "bot", time: message.time });
      return turn;
    }

    // What the customer said; what was asked before cannot be pressed any more: a question is answered once.
    showSaid(id, message) {
      this.closeQuestions();
      const turn = this.show({ ...message, from: "user" });
      this.talk.turns.set(id, turn);
      return turn;
    }

    showWaiting(id, message) {
      const turn = this.showSaid(id, message);
      turn.classList.add("waiting");
      this.log.insertBefore(turn, this.log.querySelector(".writing"));
      this.toEnd();
      this.pause = SOON;
      this.askSoon();
    }

    closeQuestions() {
      for (const button of this.log.querySelectorAll("button.choice")) button.disabled = true;
    }

    showWelcome() {
      this.log.replaceChildren(this.welcome);
      this.restartButton.hidden = true;
      this.status.hidden = true;
      this.day = this.answer = null;
    }

    picture(address) {
      const image = element("img", { className: "picture", src: address, alt: this.words.image,
        onload: () => this.follows && this.toEnd() });
      image.onerror = () => image.replaceWith(element("div", { className: "bubble" }, outward(address, image.alt)));
      return image;
    }

    showDay(time) {
      const day = time.toDateString();
      if (this.day !== day && day !== new Date().toDateString()) {
        const text = time.toLocaleDateString(this.panel.lang, { day: "numeric", month: "long", year: "numeric" });
        this.add(element("div", { className: "day" }, text));
      }
      this.day = day;
    }

    bubble(message) {
      const bubble = element("div", { className: "bubble", dir: "auto" });
      const lines = message.text.trim().split("\n");
      const sources = [];
      while (message.from === "bot" && lines.length > 1 && /^\s*(sources?|来源|出处)\s*[:：]/i.test(lines.at(-1))) {
        sources.unshift(lines.pop());
      }
      bubble.append(...linked(lines.join("\n").trimEnd()));
      for (const source of sources) bubble.append(element("cite", { className: "source" }, ...linked(source)));
      return bubble;
    }

    choices(buttons) {
      const row = element("div", { className: "choices" });
      for (const { title = "", payload, url } of buttons) {
        if (url && webAddress(url)) {
          row.append(outward(url, title, "choice"));
          continue;
        }
        const button = element("button", { type: "button", className: "choice", dir: "auto" }, title);
        button.onclick = () => {
          button.classList.add("chosen");
          // A finger wants no keyboard on the screen; who typed Tab to come here goes on typing.
          const typing = button.matches(":focus-visible");
          this.say(title, payload);
          if (typing) this.input.focus();
        };
        row.append(button);
      }
      return row;
    }

    // -- what is said --

    written() {
      this.sendButton.disabled = !this.input.value.trim();
      this.input.style.height = "";
      this.input.style.height = `${Math.min(this.input.scrollHeight + 2, 132)}px`;
    }

    typed(event) {
      // Enter that chooses a Chinese character does not send.
      const composing = event.isComposing || event.keyCode === 229; // Safari says it by the code.
      if (event.key === "Enter" && !event.shiftKey && !composing) this.submit(event);
    }

    submit(event) {
      event.preventDefault();
      const text = this.input.value.trim();
      if (!text) return;
      this.input.value = "";
      this.written();
      this.say(text);
      this.input.focus();
    }

    say(text, payload) {
      const message = { session: this.session(), message: text.toWellFormed?.() ?? text, message_id: randomId() };
      if (payload) message.payload = payload;
      if (this.look.languages.includes(this.language)) message.language = this.language;
      this.keep([...this.kept(), message]);
      this.enqueue(message);
      this.tabs.postMessage({ session: message.session, id: message.message_id, said: { text } });
      if (!this.status.hidden) this.complain(this.trouble);
      this.deliver();
    }

    enqueue(message) {
      this.showWaiting(message.message_id, { text: message.message });
      this.talk.queue.push(message);
    }

    // What is not answered yet is kept, so that a reload sends it again, under the same id.
    keep(messages) {
      this.memory.set("unanswered", messages);
    }

    kept() {
      const session = this.session();
      return (this.memory.get("unanswered") || []).filter((message) => message.session === session);
    }

    // A message is sent at once, and brings those along that were said before it and are not answered: whichever
    // request arrives first, they arrive in order. So only the latest request is ever sent again.
    async deliver() {
      const talk = this.talk;
      const batch = together(talk.queue, talk.oneByOne ? 1 : TOGETHER.messages);
      const id = batch.at(-1)?.message_id;
      if (!this.ready || !id || talk.sending === id) return;
      talk.sending = id;
      const after = talk.position;
      const outcome = await this.persist(() => this.send(batch, after),
        () => talk === this.talk && talk.sending === id && talk.queue.some((one) => one.message_id === id));
      if (talk !== this.talk) return; // A new conversation has begun meanwhile.
      if (outcome instanceof Refused && batch.length > 1) {
        talk.oneByOne = true; // Which of them was it?
        talk.sending = null;
      } else if (outcome instanceof Refused) this.refuse(id, outcome.status);
      else if (outcome) {
        const told = new Set(outcome.messages.map((message) => message.id));
        const known = told.has(id) || !talk.queue.some((one) => one.message_id === id);
        for (const { message_id } of batch) if (!told.has(message_id)) this.settle(message_id);
        // An answer that is no news: it is old, or the conversation was erased or replaced.
        if (known) this.receive(after, outcome);
        else this.load();
      }
      this.deliver();
    }

    // The message is answered: it is not sent again, and says when it was.
    settle(id) {
      const turn = this.talk.turns.get(id);
      if (!turn?.classList.contains("waiting")) return;
      const first = this.log.querySelector(".waiting");
      if (turn !== first) this.log.insertBefore(turn, first);
      turn.classList.remove("waiting");
      const time = turn.querySelector("time");
      time.textContent = clock(new Date(time.dateTime), this.panel.lang);
      this.talk.queue = this.talk.queue.filter((message) => message.message_id !== id);
      this.keep(this.kept().filter((message) => message.message_id !== id));
      if (!this.talk.queue.length) {
        this.talk.oneByOne = false;
        this.status.hidden = true;
        this.typing.remove();
      }
    }

    refuse(id, status) {
      this.settle(id);
      const text = status === 413 ? this.words.tooLong : this.words.refused;
      this.talk.turns.get(id)?.append(element("p", { className: "problem", role: "alert" }, text));
      this.tabs.postMessage({ session: this.talk.session, id, refused: status });
      this.toEnd();
    }

    async send(batch, after) {
      const before = batch.slice(0, -1).map(({ session, ...message }) => message);
      const message = batch.at(-1);
      const writing = setTimeout(() => {
        if (!this.talk.queue.includes(message)) return;
        this.log.append(this.typing);
        this.toEnd();
      }, PATIENCE);
      try {
        return await this.call("/webhooks/webchat/webhook", { method: "POST",
          body: JSON.stringify({ ...message, before, after }), headers: { "Content-Type": "application/json" } });
      } finally {
        clearTimeout(writing);
        if (this.talk.queue.at(-1) === message) this.typing.remove();
      }
    }

    // -- what comes --

    // What is new since so many events, from wherever it comes: each message is shown once.
    receive(after, { position, messages }) {
      if (position < after) this.load(); // The conversation was erased or replaced.
      else if (this.take(after, position, messages)) {
        this.pause = SOON;
        this.tabs.postMessage({ session: this.talk.session, news: { after, position, messages } });
      }
    }

    take(after, position, messages) {
      const talk = this.talk;
      if (position <= talk.position) return false;
      if (after > talk.position) {
        this.ask(); // Something is missing between.
        return false;
      }
      // Who reads what was said earlier is left there, unless it is their answer.
      const atEnd = this.log.scrollHeight - this.log.scrollTop - this.log.clientHeight < 100;
      this.follows = atEnd || messages.some((message) => talk.queue.some((one) => one.message_id === message.id));
      if (messages.length) this.answer = null;
      for (const message of messages) if (message.position > talk.position) this.showTold(message);
      talk.position = position;
      if (this.log.querySelector(".waiting")) this.closeQuestions();
      if (this.follows) this.toEnd();
      return true;
    }

    showTold(message) {
      if (message.from !== "user") this.show(message);
      else if (!this.talk.turns.has(message.id)) this.showSaid(message.id, message);
      else {
        this.closeQuestions();
        this.settle(message.id);
        this.answer = null;
      }
    }

    // The bot may say something by itself, and so may the visitor on another device: ask, while somebody looks.
    get isWatched() {
      const begun = this.talk.position > 0 || this.talk.turns.size > 0;
      return this.ready && begun && this.isConnected && !document.hidden && !this.panel.hidden;
    }

    async ask() {
      clearTimeout(this.next);
      if (this.asking || !this.isWatched) return;
      const talk = this.talk;
      const after = talk.position;
      this.asking = true;
      try {
        const answer = await this.call(`/webchat/session?after=${after}`, this.bearing(talk.session), LATEST_RETRY);
        this.pause = Math.min(this.pause * 1.1, LATER);
        if (talk === this.talk) this.receive(after, answer);
      } catch {
        this.pause = LATER;
      } finally {
        this.asking = false;
        this.askSoon();
      }
    }

    askSoon() {
      clearTimeout(this.next);
      this.next = setTimeout(() => this.ask(), this.pause);
    }

    // What was said, answered or refused in another tab of the same conversation.
    hear({ session, id, said, news, refused, restarted }) {
      if (!this.ready || session !== this.talk.session) return;
      if (restarted) this.begin();
      else if (said && !this.talk.turns.has(id)) this.showWaiting(id, said);
      else if (news) this.take(news.after, news.position, news.messages);
      else if (refused) this.settle(id);
      if (news) this.pause = SOON;
      this.askSoon();
    }

    // Try until the server answers; its refusal is an answer, too.
    async persist(attempt, stillWanted = () => true) {
      for (let delay = 1000; stillWanted(); delay = Math.min(delay * 2, LATEST_RETRY)) {
        try {
          const answer = await attempt();
          if (stillWanted()) this.status.hidden = true;
          return answer;
        } catch (error) {
          if (error instanceof Refused) {
            if (stillWanted()) this.status.hidden = true;
            return error;
          }
          if (!stillWanted()) return null;
          const busy = error instanceof Busy;
          this.complain(busy ? "busy" : "unreachable");
          // Not all pages at the same moment, when the server is back.
          await wait(Math.max(delay, busy ? error.pause : 0) * (1 + Math.random() / 4));
        }
      }
      return null;
    }

    complain(trouble) {
      const { queue, turns } = this.talk;
      const busy = trouble === "busy";
      const [waiting, idle] = busy ? ["busy", "moment"] : ["kept", "unreachable"];
      this.trouble = trouble;
      this.status.textContent = this.words[queue.length ? waiting : idle];
      this.status.classList.toggle("calm", busy);
      this.status.hidden = false;
      for (const { message_id } of busy ? [] : queue) {
        turns.get(message_id).querySelector("time").textContent = this.words.unsent;
      }
      this.toEnd();
    }

    // A silent server is at work on it, or was cut off: the message comes again under the same id.
    async call(path, options, patience = LONGEST_WAIT) {
      let response;
      try {
        const signal = AbortSignal.timeout(patience);
        response = await fetch(this.server + path, { ...options, signal, credentials: "omit" });
        if (response.ok) return await response.json();
      } catch (error) {
        throw error.name === "TimeoutError" ? new Busy() : error;
      }
      const { status } = response;
      if (status < 400 || status >= 500 || [408, 409, 425, 429].includes(status)) {
        throw new Busy(response.headers.get("Retry-After"));
      }
      throw new Refused(status);
    }

    bearing(session) {
      return { headers: { Authorization: `Bearer ${session}` } };
    }

    // -- sessions --

    session() {
      let id = this.memory.get("session");
      if (!id) {
        id = randomId();
        this.memory.set("session", id);
      }
      return id;
    }

    // What is written before the server has told what was said earlier waits for it.
    async load() {
      this.loaded = true;
      this.ready = false;
      this.begin();
      const talk = this.talk;
      const answer = await this.persist(() => this.call("/webchat/session", this.bearing(talk.session)));
      this.ready = true;
      if (!(answer instanceof Refused)) this.setLook(answer);
      if (talk !== this.talk) this.deliver();
      else if (answer instanceof Refused || answer.expired) this.startAfresh();
      else this.restore(answer);
    }

    setLook({ title, welcome, languages, suggestions }) {
      this.look = { title, welcome, languages, suggestions };
      const spoken = languages.filter((language) => language in WORDS);
      if (spoken.length && !spoken.includes(this.language)) this.language = spoken[0];
      this.translate();
    }

    startAfresh() {
      const written = this.talk.queue;
      this.forget();
      for (const { message } of written) this.say(message);
    }

    restore({ position, messages }) {
      const said = new Set(messages.map((message) => message.id));
      const unanswered = this.kept().filter((message) => !said.has(message.message_id));
      this.begin();
      this.keep(unanswered);
      for (const message of messages) this.showTold(message);
      this.talk.position = position;
      for (const message of unanswered) this.enqueue(message);
      this.toEnd();
      this.deliver();
      this.askSoon();
    }

    begin() {
      this.talk = new Talk();
      this.talk.session = this.session();
      this.showWelcome();
    }

    forget() {
      this.memory.set("session", null);
      this.keep([]);
      this.begin();
    }

    restart() {
      const { session } = this.talk;
      this.forget();
      this.tabs.postMessage({ session, restarted: true });
      this.input.focus();
    }
  }

  function asMessage(part) {
    const text = [part.title, part.subtitle].filter(Boolean).join("\n");
    return { text, image: part.image_url, buttons: part.buttons };
  }

  if (!customElements.get("frontdesk-chat")) customElements.define("frontdesk-chat", FrontdeskChat);
})();
