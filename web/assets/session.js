// Who the page is: nobody in particular, somebody with a key, or a tenant's user with a portal link.

const STORED = "carillon.bearer"; // in this tab's sessionStorage, so that a reload need not ask again
const TENANT = "carillon.tenant";
const FRAGMENT = "#portal=";

const read = (name) => {
  try {
    return sessionStorage.getItem(name) ?? "";
  } catch {
    return ""; // not allowed here
  }
};

const write = (name, text) => {
  try {
    if (text) sessionStorage.setItem(name, text);
    else sessionStorage.removeItem(name);
  } catch { /* not allowed here: kept in memory alone */ }
};

let bearer = "";
let tenant = "";

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
  write(STORED, text);
  workIn("");
};

// workIn has an administrator of the whole gateway work in another tenant; "" is the administrator's own.
export const workIn = (name) => {
  tenant = name;
  write(TENANT, name);
};
export const workingIn = () => tenant;

if (!takeFragment()) {
  bearer = read(STORED);
  tenant = read(TENANT);
}
// changed tells the page that it is somebody else, or works elsewhere, than it thought.
export const changed = () => dispatchEvent(new Event("changed"));

// Another link that is opened in this tab changes the fragment and nothing else.
addEventListener("hashchange", () => {
  if (takeFragment()) changed();
});

export const signIn = (key) => keep(key.trim());
export const signOut = () => keep("");
export const signedIn = () => bearer !== "";

// ask is fetch as who the page is. What is the whole gateway's, and not a tenant's, is asked for in no tenant's name.
export const ask = (path, init = {}) => {
  const headers = new Headers(init.headers);
  if (bearer) headers.set("Authorization", `Bearer ${bearer}`);
  if (tenant && !/^\/v1\/(tenants|me)\b/.test(path)) headers.set("Carillon-Tenant", tenant);
  return fetch(path, { ...init, headers });
};
