// Who the page is: nobody in particular, somebody with a key, or a tenant's user with a portal link.

const STORED = "carillon.bearer"; // in this tab's sessionStorage, so that a reload need not ask again
const FRAGMENT = "#portal=";

let bearer = "";

// takeFragment takes the token out of a portal link, and out of the address: it must not stay there, in the history.
const takeFragment = () => {
  if (!location.hash.startsWith(FRAGMENT)) return false;
  keep(location.hash.slice(FRAGMENT.length));
  history.replaceState(null, "", location.pathname + location.search);
  return true;
};

const keep = (text) => {
  // No header can hold anything else, and no key does: it is refused as one that nobody has.
  if (!/^[\x21-\x7e]*$/.test(text)) text = "-";
  bearer = text;
  try {
    if (text) sessionStorage.setItem(STORED, text);
    else sessionStorage.removeItem(STORED);
  } catch { /* not allowed here: kept in memory alone */ }
};

if (!takeFragment()) {
  try {
    bearer = sessionStorage.getItem(STORED) ?? "";
  } catch { /* not allowed here */ }
}
// Another link that is opened in this tab changes the fragment and nothing else.
addEventListener("hashchange", () => {
  if (takeFragment()) location.reload();
});

export const signIn = (key) => keep(key.trim());
export const signOut = () => keep("");
export const signedIn = () => bearer !== "";

// ask is fetch as who the page is.
export const ask = (path, init = {}) => {
  const headers = new Headers(init.headers);
  if (bearer) headers.set("Authorization", `Bearer ${bearer}`);
  return fetch(path, { ...init, headers });
};

export const askJSON = (method, path, body) =>
  ask(path, { method, headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) });
