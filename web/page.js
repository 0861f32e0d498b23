// What the page's parts share: finding and making elements, and what an answer says.

export const $ = (id) => document.getElementById(id);

export const make = (tag, className, text) => {
  const el = document.createElement(tag);
  if (className) el.className = className;
  if (text !== undefined) el.textContent = text;
  return el;
};

export const TIME_OF_DAY = { hour: "2-digit", minute: "2-digit", second: "2-digit", fractionalSecondDigits: 3, hourCycle: "h23" };

// explain turns a problem document (RFC 9457), or whatever came instead, into lines of text.
export const explain = async (response) => {
  const text = await response.text();
  try {
    const p = JSON.parse(text);
    if (p.title) {
      const lines = [p.detail || p.title];
      for (const e of p.errors ?? []) lines.push(`${e.field}: ${e.detail}`);
      return lines.join("\n");
    }
  } catch { /* not JSON: shown as it came */ }
  return text || response.statusText;
};
