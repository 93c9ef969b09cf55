// An account menu for a site behind the gateway. It knows nothing of cookies: the client asks the
// gateway who is signed in, and the page is drawn from the answers.
import { createAuthClient } from "better-auth/client";
import { multiSessionClient } from "better-auth/client/plugins";

const portal = "/.auth"; // the gateway's `path`
const client = createAuthClient({
	baseURL: location.origin,
	basePath: portal,
	plugins: [multiSessionClient()],
});

const find = (selector, within = document) => within.querySelector(selector);
const opener = find("#opener");
const menu = find("#menu");

// What the page is drawn from: every account of this browser, and which of them is active. Both are
// null until the gateway has answered.
let accounts = null;
let active = null;

// The store asks by itself who is active: at the beginning, after a switch or a sign-out, and when
// the user comes back to this tab.
client.useSession.subscribe(({ data, error, isPending, isRefetching }) => {
	if (isPending || isRefetching) return;
	if (error) return say("Your accounts cannot be reached right now.");
	active = data;
	loadAccounts();
});
menu.addEventListener("beforetoggle", ({ newState }) => {
	if (newState === "open") loadAccounts();
});

// The store hears of what it does itself. The gateway tells what happens elsewhere: in other tabs, on other
// hosts with the same accounts, by time.
const events = new EventSource(`${portal}/events`);
events.addEventListener("accounts", ({ data }) => {
	const now = JSON.parse(data);
	const shown = accounts?.map(({ session }) => session.token);
	if (!shown || acting) return; // the answers are on their way
	if (now.active === (active?.session.token ?? null) && now.sessions.join() === shown.join()) return;
	client.useSession.get().refetch();
});

let latest = 0; // answers can overtake each other; the last question counts

async function loadAccounts() {
	const question = ++latest;
	const { data, error } = await client.multiSession.listDeviceSessions().catch(error => ({ error }));
	if (question !== latest) return;
	if (error) return say("Your accounts cannot be reached right now.");
	accounts = data;
	draw();
}

let drawn;

function draw() {
	// What has not changed is not drawn again: somebody may be about to click on it.
	const now = JSON.stringify([active?.user, accounts.map(({ session, user }) => [session.token, user])]);
	if (now === drawn) return;
	drawn = now;

	const me = active?.user;
	const others = accounts.filter(({ user }) => user.id !== me?.id);
	const name = me?.name ?? "Choose an account";

	find("#sign-in").hidden = accounts.length > 0;
	find("#sign-in").href = find("#add").href = `${portal}/sign-in?${new URLSearchParams({ return_to: location.pathname + location.search })}`;
	opener.hidden = accounts.length === 0;
	if (opener.hidden) menu.hidePopover();
	find(".name", opener).textContent = name;
	drawAvatar(opener, me);
	find(".active", menu).hidden = !me;
	if (me) drawAccount(find(".active", menu), active);
	find("#others").replaceChildren(...others.map(entry => drawAccount(find("#other").content.cloneNode(true).firstElementChild, entry)));
	find("#all").hidden = accounts.length < 2;

	find("main h1").textContent = me ? `Hello, ${me.name}` : accounts.length ? name : "Nobody is signed in";
	find("main p").textContent = me ? `This is the field book of ${me.email || me.name}. Switch in the menu above: the page follows, and nobody is signed out.`
		: accounts.length ? "The account that was active has ended. The others are in the menu above."
		: "Sign in to see your field book. More than one account can stay signed in.";
	document.title = me ? `${me.name} · Fieldbook` : "Fieldbook";
	document.body.classList.add("drawn");
}

// drawAccount fills an element in with what is known of an account.
function drawAccount(element, { session, user }) {
	for (const name of element.querySelectorAll(".name")) name.textContent = user.name;
	find(".email", element).textContent = user.email;
	for (const button of element.querySelectorAll("[data-do]")) {
		button.onclick = () => act(button.dataset.do, session.token, user);
	}
	drawAvatar(element, user);
	return element;
}

function drawAvatar(element, user) {
	const avatar = find(".avatar", element);
	const words = (user?.name ?? "?").trim().split(/\s+/);
	const initials = [words[0], words.length > 1 ? words.at(-1) : ""].map(word => [...word][0] ?? "").join("");
	avatar.replaceChildren(initials.toUpperCase());
	// The same account has the same colour everywhere.
	const hash = [...(user?.id ?? "")].reduce((hash, c) => Math.imul(hash ^ c.codePointAt(0), 16777619), 2166136261);
	avatar.style.setProperty("--hue", (hash >>> 0) % 360);
	if (user?.image) {
		const picture = new Image();
		picture.src = user.image;
		picture.alt = "";
		picture.referrerPolicy = "no-referrer";
		picture.onload = () => avatar.replaceChildren(picture);
	}
}

const actions = {
	switch: { call: sessionToken => client.multiSession.setActive({ sessionToken }), done: user => `You are ${user.name} now.` },
	"sign-out": { call: sessionToken => client.multiSession.revoke({ sessionToken }), done: user => `${user.name} is signed out.` },
	"sign-out-all": { call: () => client.signOut(), done: () => "You are signed out of all accounts." },
};

let acting = false; // a second click while the first is on its way means nothing new

async function act(action, token, user) {
	if (acting) return;
	acting = true;
	const { call, done } = actions[action];
	const { error } = await call(token).catch(error => ({ error }));
	acting = false;
	// The element that has the focus may be about to go.
	if (action === "sign-out" && !error) menu.focus();
	else menu.hidePopover();
	say(error ? "That did not work. Please try again." : done(user));
	// The store follows all but a revocation by itself. What failed may have failed because the account
	// has ended meanwhile.
	if (!error && action !== "sign-out") return;
	await client.useSession.get().refetch();
	await loadAccounts();
}

find("#all").onclick = () => act("sign-out-all");

let silence;

// say tells everybody what has happened, those who do not see it too.
function say(text) {
	find("#status").textContent = text;
	clearTimeout(silence);
	silence = setTimeout(say, 8000, "");
}
