// The account API: signing up, the sessions of an account on all devices, its password and its profile.
// Every scenario is about people of its own.
import assert from "node:assert/strict";
import { accounts, active, granted, isSession, isUser, known, refused, scenario, signIn, signUp, stranger } from "./scenario.mjs";
import { watch } from "./watch.mjs";

const { alice } = known;
const unauthorized = [401, "UNAUTHORIZED", "Unauthorized"];

scenario("signUp.email", async browser => {
	const b = browser();
	const dora = stranger();
	const data = granted(await b.client.signUp.email({ ...dora, email: dora.email.toUpperCase() }));
	assert.deepEqual(Object.keys(data).sort(), ["token", "user"], "nothing sends the client on");
	isUser(data.user);
	assert.equal(data.user.name, dora.name);
	assert.equal(data.user.email, dora.email);
	assert.equal(data.user.emailVerified, false);
	assert.equal(data.user.image, null);

	const now = granted(await b.client.getSession());
	isSession(now.session);
	assert.equal(now.session.token, data.token);
	assert.equal(now.session.userId, data.user.id);
	assert.deepEqual(now.user, data.user);
	const other = browser();
	await signIn(other, dora);
	assert.equal(await active(other), dora.email);
});

scenario("signUp.email with a username and an image", async browser => {
	const b = browser();
	const dora = { ...stranger(), username: "Dora_The.1st", image: "https://example.com/dora.png" };
	const { user } = granted(await b.client.signUp.email({ ...dora, callbackURL: "/welcome", rememberMe: false }));
	isUser(user);
	assert.equal(user.username, "dora_the.1st");
	assert.equal(user.displayUsername, "Dora_The.1st");
	assert.equal(user.image, dora.image);
	assert.deepEqual(granted(await b.client.getSession()).user, user);

	const other = browser();
	const data = granted(await other.client.signIn.username({ username: "DORA_THE.1ST", password: dora.password }));
	assert.deepEqual(data.user, user);
});

scenario("signUp.email beside another account", async browser => {
	const b = browser();
	const token = await signIn(b, alice);
	const dora = stranger();
	await signUp(b, dora);
	assert.equal(await active(b), dora.email);
	assert.deepEqual(await accounts(b), [alice.email, dora.email].sort());
	granted(await b.client.multiSession.setActive({ sessionToken: token }));
	assert.equal(await active(b), alice.email);
});

scenario("signUp.email of what is not an account", async browser => {
	const b = browser();
	const dora = stranger();
	const { name, email, password } = dora;
	const refusals = [
		[{ email, password }, 400, "VALIDATION_ERROR", /^\[body\.name\]/],
		[{ name, password }, 400, "VALIDATION_ERROR", /^\[body\.email\]/],
		[{ name, email }, 400, "VALIDATION_ERROR", /^\[body\.password\]/],
		[{ ...dora, name: 1 }, 400, "VALIDATION_ERROR", /^\[body\.name\]/],
		[{ ...dora, email: "nobody" }, 400, "VALIDATION_ERROR", /^\[body\.email\]/],
		[{ ...dora, image: 1 }, 400, "VALIDATION_ERROR", /^\[body\.image\]/],
		[{ ...dora, rememberMe: "no" }, 400, "VALIDATION_ERROR", /^\[body\.rememberMe\]/],
		[{ ...dora, password: "7 chars" }, 400, "PASSWORD_TOO_SHORT", "Password too short"],
		[{ ...dora, password: "x".repeat(129) }, 400, "PASSWORD_TOO_LONG", "Password too long"],
		[{ ...dora, username: "do" }, 400, "USERNAME_TOO_SHORT", "Username is too short"],
		[{ ...dora, username: "d".repeat(31) }, 400, "USERNAME_TOO_LONG", "Username is too long"],
		[{ ...dora, username: "dora the first" }, 400, "INVALID_USERNAME", "Username is invalid"],
		[{ ...dora, callbackURL: "https://evil.example/" }, 403, "INVALID_CALLBACK_URL", "Invalid callbackURL"],
		[{ ...dora, callbackURL: "//evil.example/" }, 403, "INVALID_CALLBACK_URL", "Invalid callbackURL"],
	];
	for (const [body, ...refusal] of refusals) refused(await b.client.signUp.email(body), ...refusal);
	assert.equal(await active(b), null);
	// None of them has made an account.
	await signUp(b, dora);
});

scenario("signUp.email with what somebody else has", async browser => {
	const b = browser();
	const dora = { ...stranger(), username: "dora" };
	await signUp(browser(), dora);
	const taken = [422, "USER_ALREADY_EXISTS_USE_ANOTHER_EMAIL", "User already exists. Use another email."];
	refused(await b.client.signUp.email({ ...stranger(), email: dora.email }), ...taken);
	refused(await b.client.signUp.email({ ...stranger(), email: dora.email.toUpperCase() }), ...taken);
	refused(await b.client.signUp.email({ ...stranger(), email: alice.email }), ...taken);
	for (const username of ["dora", "DORA", "alice"]) {
		refused(await b.client.signUp.email({ ...stranger(), username }), 400, "USERNAME_IS_ALREADY_TAKEN", "Username is already taken. Please try another.");
	}
	assert.equal(await active(b), null);
});

scenario("signUp.email does not make anybody more than they are", async browser => {
	const { client } = browser();
	const { user } = granted(await client.signUp.email({ ...stranger(), emailVerified: true, role: "admin", groups: ["admin"], id: "alice" }));
	assert.equal(user.emailVerified, false);
	assert.notEqual(user.id, "alice");
	assert.equal(user.role, undefined);
	assert.equal(user.groups, undefined);
});

scenario("the account API when nobody is signed in", async browser => {
	const { client } = browser();
	refused(await client.listSessions(), ...unauthorized);
	refused(await client.revokeSession({ token: "unknown" }), ...unauthorized);
	refused(await client.revokeSessions(), ...unauthorized);
	refused(await client.revokeOtherSessions(), ...unauthorized);
	refused(await client.changePassword({ currentPassword: "old password", newPassword: "new password" }), ...unauthorized);
	refused(await client.updateUser({ name: "Somebody" }), ...unauthorized);
});

scenario("listSessions", async browser => {
	const [first, second] = [browser(), browser()];
	const dora = stranger();
	const tokens = [await signUp(first, dora)];
	await signIn(second, dora);
	tokens.push(granted(await second.client.getSession()).session.token);
	// Whoever else is signed in in one of the browsers does not show.
	await signIn(second, alice);
	await signIn(browser(), alice);

	const sessions = granted(await first.client.listSessions());
	assert.equal(sessions.length, 2);
	sessions.forEach(isSession);
	assert.deepEqual(sessions.map(session => session.userAgent), [first.userAgent, second.userAgent], "the oldest comes first");
	const now = granted(await first.client.getSession()).session;
	assert.equal(sessions[0].token, now.token);
	assert.equal(sessions[0].id, now.id);
	for (const session of sessions) assert.equal(session.userId, now.userId);
});

// everywhere signs somebody up in the first of some browsers, and in in the others.
async function everywhere(browsers, account) {
	const [first, ...others] = browsers;
	await signUp(first, account);
	for (const b of others) await signIn(b, account);
}

// session is the one that a browser has, as another of the same account sees it.
async function sessionOf(other, as) {
	const session = granted(await as.client.listSessions()).find(session => session.userAgent === other.userAgent);
	assert.ok(session, "the session is listed");
	return session;
}

scenario("revokeSession of another device", async browser => {
	const [home, phone] = [browser(), browser()];
	const dora = stranger();
	await everywhere([home, phone], dora);
	const { token } = await sessionOf(phone, home);
	assert.deepEqual(granted(await home.client.revokeSession({ token })), { status: true });
	assert.equal(await active(phone), null);
	assert.equal(await active(home), dora.email);
	assert.equal(granted(await home.client.listSessions()).length, 1);
	// Once more changes nothing.
	assert.deepEqual(granted(await home.client.revokeSession({ token })), { status: true });
});

scenario("revokeSession of this device", async browser => {
	const [home, phone] = [browser(), browser()];
	const dora = stranger();
	await everywhere([home, phone], dora);
	const { token } = await sessionOf(home, home);
	assert.deepEqual(granted(await home.client.revokeSession({ token })), { status: true });
	assert.equal(await active(home), null);
	assert.deepEqual(await accounts(home), []);
	assert.equal(await active(phone), dora.email);
});

scenario("revokeSession of a token that is nobody's or somebody else's", async browser => {
	const [home, other] = [browser(), browser()];
	await signUp(home, stranger());
	const erin = stranger();
	await signUp(other, erin);
	const { token: foreign } = await sessionOf(other, other);
	for (const token of [foreign, "unknown", ""]) {
		assert.deepEqual(granted(await home.client.revokeSession({ token })), { status: true });
	}
	assert.equal(await active(other), erin.email);
	refused(await home.client.revokeSession({}, { method: "POST" }), 400, "VALIDATION_ERROR", /^\[body\.token\]/);
	refused(await home.client.revokeSession({ token: 1 }), 400, "VALIDATION_ERROR", /^\[body\.token\]/);
});

scenario("revokeOtherSessions", async browser => {
	const [home, phone, work] = [browser(), browser(), browser()];
	const dora = stranger();
	await everywhere([home, phone, work], dora);
	const before = granted(await home.client.getSession()).session.token;
	assert.deepEqual(granted(await home.client.revokeOtherSessions()), { status: true });
	assert.equal(granted(await home.client.getSession()).session.token, before);
	assert.equal(granted(await home.client.listSessions()).length, 1);
	assert.equal(await active(phone), null);
	assert.equal(await active(work), null);
});

scenario("revokeSessions", async browser => {
	const [home, phone] = [browser(), browser()];
	await everywhere([home, phone], stranger());
	assert.deepEqual(granted(await home.client.revokeSessions()), { status: true });
	assert.equal(await active(home), null);
	assert.equal(await active(phone), null);
});

scenario("revoking is about one account of the browser", async browser => {
	for (const method of ["revokeSession", "revokeSessions"]) {
		const b = browser();
		const token = await signIn(b, alice);
		await signUp(b, stranger());
		granted(await b.client[method](method === "revokeSession" ? { token: (await sessionOf(b, b)).token } : {}));
		assert.equal(await active(b), null, "nobody becomes somebody else by it");
		assert.deepEqual(await accounts(b), [alice.email]);
		granted(await b.client.multiSession.setActive({ sessionToken: token }));
		assert.equal(await active(b), alice.email);
	}
});

scenario("changePassword", async browser => {
	const [home, phone] = [browser(), browser()];
	const dora = stranger();
	await everywhere([home, phone], dora);
	const before = granted(await home.client.getSession());
	const newPassword = "a better password";
	const data = granted(await home.client.changePassword({ currentPassword: dora.password, newPassword }));
	assert.equal(data.token, null);
	isUser(data.user);
	assert.equal(data.user.id, before.user.id);
	assert.equal(granted(await home.client.getSession()).session.token, before.session.token);
	assert.equal(await active(phone), dora.email);

	const b = browser();
	refused(await b.client.signIn.email(dora), 401, "INVALID_EMAIL_OR_PASSWORD");
	await signIn(b, { ...dora, password: newPassword });
});

scenario("changePassword with revokeOtherSessions", async browser => {
	const [home, phone] = [browser(), browser()];
	const dora = stranger();
	await everywhere([home, phone], dora);
	const before = granted(await home.client.getSession()).session.token;
	const data = granted(await home.client.changePassword({
		currentPassword: dora.password,
		newPassword: "a better password",
		revokeOtherSessions: true,
	}));
	isUser(data.user);
	assert.notEqual(data.token, before);
	assert.equal(granted(await home.client.getSession()).session.token, data.token);
	assert.equal(granted(await home.client.listSessions()).length, 1);
	assert.equal(await active(phone), null);
	assert.deepEqual(await accounts(home), [dora.email]);
});

scenario("changePassword to or from what is no password", async browser => {
	const b = browser();
	const dora = stranger();
	await signUp(b, dora);
	const currentPassword = dora.password;
	const newPassword = "a better password";
	const refusals = [
		[{ currentPassword: "not hers at all", newPassword }, 400, "INVALID_PASSWORD", "Invalid password"],
		[{ currentPassword, newPassword: "7 chars" }, 400, "PASSWORD_TOO_SHORT", "Password too short"],
		[{ currentPassword, newPassword: "" }, 400, "PASSWORD_TOO_SHORT", "Password too short"],
		[{ currentPassword, newPassword: "x".repeat(129) }, 400, "PASSWORD_TOO_LONG", "Password too long"],
		[{ newPassword }, 400, "VALIDATION_ERROR", /^\[body\.currentPassword\]/],
		[{ currentPassword }, 400, "VALIDATION_ERROR", /^\[body\.newPassword\]/],
		[{ currentPassword, newPassword, revokeOtherSessions: "yes" }, 400, "VALIDATION_ERROR", /^\[body\.revokeOtherSessions\]/],
	];
	for (const [body, ...refusal] of refusals) refused(await b.client.changePassword(body), ...refusal);
	await signIn(browser(), dora);
});

scenario("updateUser", async browser => {
	const [home, phone] = [browser(), browser()];
	const dora = { ...stranger(), username: "dora_at_first" };
	await everywhere([home, phone], dora);
	const before = granted(await home.client.getSession()).user;
	const seen = async () => granted(await phone.client.getSession()).user;

	assert.deepEqual(granted(await home.client.updateUser({ name: "Dora Döring" })), { status: true });
	assert.equal((await seen()).name, "Dora Döring");
	assert.ok((await seen()).updatedAt >= before.updatedAt);
	granted(await home.client.updateUser({ image: "https://example.com/dora.png" }));
	assert.equal((await seen()).image, "https://example.com/dora.png");
	granted(await home.client.updateUser({ image: null }));
	assert.equal((await seen()).image, null);
	granted(await home.client.updateUser({ username: "Dora_Later" }));
	assert.equal((await seen()).username, "dora_later");
	granted(await home.client.updateUser({ username: "dora_later" })); // her own is not taken

	const now = await seen();
	isUser(now);
	assert.equal(now.name, "Dora Döring");
	assert.equal(now.email, before.email);
	assert.deepEqual(now.createdAt, before.createdAt);
	granted(await browser().client.signIn.username({ username: "dora_later", password: dora.password }));
	refused(await browser().client.signIn.username({ username: dora.username, password: dora.password }), 401, "INVALID_USERNAME_OR_PASSWORD");
});

scenario("displayUsername", async browser => {
	const { client } = browser();
	const dora = stranger();
	const username = `dora_${Date.now()}`;
	const { user } = granted(await client.signUp.email({ ...dora, username, displayUsername: "Dora the First" }));
	assert.equal(user.username, username);
	assert.equal(user.displayUsername, "Dora the First");
	assert.deepEqual(granted(await client.updateUser({ displayUsername: "D. the First" })), { status: true });
	assert.equal(granted(await client.getSession()).user.displayUsername, "D. the First");
	assert.equal(granted(await client.getSession()).user.username, username);

	const other = stranger();
	const named = granted(await browser().client.signUp.email({ ...other, displayUsername: `${username}.2` })).user;
	assert.equal(named.username, `${username}.2`, "a name that can be a username is one");
});

scenario("isUsernameAvailable", async browser => {
	const { client } = browser();
	assert.deepEqual(granted(await client.isUsernameAvailable({ username: "alice" })), { available: false });
	assert.deepEqual(granted(await client.isUsernameAvailable({ username: "ALICE" })), { available: false });
	assert.deepEqual(granted(await client.isUsernameAvailable({ username: "nobody_yet" })), { available: true });
	refused(await client.isUsernameAvailable({ username: "" }), 422, "INVALID_USERNAME", "Username is invalid");
	refused(await client.isUsernameAvailable({ username: "al" }), 422, "USERNAME_TOO_SHORT", "Username is too short");
	refused(await client.isUsernameAvailable({ username: "a".repeat(31) }), 422, "USERNAME_TOO_LONG", "Username is too long");
	refused(await client.isUsernameAvailable({ username: "a b c" }), 422, "INVALID_USERNAME", "Username is invalid");
});

scenario("calls without a body", async browser => {
	const b = browser();
	const dora = stranger();
	const post = { method: "POST" };
	for (const path of ["/revoke-other-sessions", "/revoke-sessions"]) {
		await (path === "/revoke-sessions" ? signIn : signUp)(b, dora);
		assert.deepEqual(granted(await b.client.$fetch(path, post)), { status: true });
	}
	await signIn(b, dora);
	assert.equal(granted(await b.client.$fetch("/sign-out", post)).success, true);
	assert.equal(await active(b), null);
});

scenario("signOut with a callbackURL", async browser => {
	const b = browser();
	await signUp(b, stranger());
	refused(await b.client.signOut({ callbackURL: "https://evil.example/" }), 403, "INVALID_CALLBACK_URL", "Invalid callbackURL");
	assert.equal(granted(await b.client.signOut({ callbackURL: "/bye", disableRedirect: true })).success, true);
	assert.equal(await active(b), null);
});

scenario("sign in with a password that is too long", async browser => {
	const { client } = browser();
	const password = "x".repeat(129);
	refused(await client.signIn.email({ email: alice.email, password }), 400, "PASSWORD_TOO_LONG", "Password too long");
	refused(await client.signIn.username({ username: alice.username, password }), 400, "PASSWORD_TOO_LONG", "Password too long");
});

scenario("ok", async browser => {
	assert.deepEqual(granted(await browser().client.$fetch("/ok")), { ok: true });
});

scenario("updateUser with what cannot be", async browser => {
	const b = browser();
	await signUp(b, { ...stranger(), username: "dora_as_ever" });
	const before = granted(await b.client.getSession()).user;
	const refusals = [
		[{ email: "dora@example.com" }, 400, "EMAIL_CAN_NOT_BE_UPDATED", "Email can not be updated"],
		[{ email: "dora@example.com", name: "Dora" }, 400, "EMAIL_CAN_NOT_BE_UPDATED", "Email can not be updated"],
		[{ username: "alice" }, 400, "USERNAME_IS_ALREADY_TAKEN", "Username is already taken. Please try another."],
		[{ username: "do" }, 400, "USERNAME_TOO_SHORT", "Username is too short"],
		[{ username: "d".repeat(31) }, 400, "USERNAME_TOO_LONG", "Username is too long"],
		[{ username: "dora the first" }, 400, "INVALID_USERNAME", "Username is invalid"],
	];
	for (const [body, ...refusal] of refusals) refused(await b.client.updateUser(body), ...refusal);
	// Better Auth has no code for that there is nothing to do.
	assert.equal((await b.client.updateUser({ emailVerified: true })).error.status, 400);
	assert.deepEqual(granted(await b.client.getSession()).user, before);
});

scenario("useSession follows the account API", async browser => {
	const [home, phone] = [browser(), browser()];
	const seen = watch(home);
	const dora = stranger();
	await signUp(home, dora);
	await seen.user(dora.email);
	granted(await home.client.updateUser({ name: "Dora" }));
	await seen.user(dora.email, ({ user }) => user.name === "Dora");
	await signIn(phone, dora);
	const { token } = granted(await home.client.changePassword({
		currentPassword: dora.password,
		newPassword: "a better password",
		revokeOtherSessions: true,
	}));
	await seen.user(dora.email, ({ session }) => session.token === token);
	granted(await home.client.revokeSession({ token }));
	await seen.nobody();

	const signInAgain = async () => {
		await signIn(home, { ...dora, password: "a better password" });
		await seen.user(dora.email);
	};
	await signInAgain();
	const before = home.requests.length;
	granted(await home.client.revokeOtherSessions());
	granted(await home.client.revokeSessions());
	await seen.nobody();
	assert.deepEqual(home.requests.slice(before).filter(path => path !== "/get-session"), ["/revoke-other-sessions", "/revoke-sessions"]);
	seen.end();
});
