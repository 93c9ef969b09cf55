// What every scenario is written in: browsers that know nothing yet, and what an answer has to be.
import assert from "node:assert/strict";
import { test } from "node:test";
import { Browser } from "./browser.mjs";

// A scenario that waits in vain ends by this, which is far more than the slowest machine takes.
const timeout = 60_000;

/** Runs a scenario. It calls `browser` for each browser that it wants. */
export function scenario(name, run) {
	test(name, { timeout }, () => run(origin => new Browser(origin)));
}

/** The accounts that are there before any scenario runs. */
export const known = Object.fromEntries(["alice", "bob", "carol"].map(name => [name, {
	username: name,
	email: `${name}@example.com`,
	password: `${name}-example`,
}]));

let signedUp = 0;

/** What somebody whom nobody has heard of yet signs up with. */
export function stranger() {
	const n = ++signedUp;
	return { name: `Stranger ${n}`, email: `stranger-${n}@example.com`, password: `open sesame ${n}` };
}

/** The data of an answer that must be a success. */
export function granted({ data, error }) {
	assert.equal(error, null);
	return data;
}

/** Fails unless an answer is the refusal, as the client passes it on. */
export function refused({ data, error }, status, code, message) {
	assert.equal(data, null);
	assert.ok(error, "there is an error");
	assert.deepEqual({ status: error.status, code: error.code }, { status, code });
	assert.equal(typeof error.statusText, "string");
	if (message instanceof RegExp) assert.match(error.message, message);
	else if (message !== undefined) assert.equal(error.message, message);
	else assert.ok(error.message.length > 0, "the error has a message");
}

/** Signs in by e-mail address, and returns the token. */
export async function signIn({ client }, { email, password }) {
	return granted(await client.signIn.email({ email, password })).token;
}

/** Signs somebody up, and returns the token. */
export async function signUp({ client }, account) {
	return granted(await client.signUp.email(account)).token;
}

/** The e-mail address of the active account, or null. */
export async function active({ client }) {
	return granted(await client.getSession())?.user.email ?? null;
}

/** The e-mail addresses of all accounts of the browser, sorted. */
export async function accounts({ client }) {
	return granted(await client.multiSession.listDeviceSessions()).map(entry => entry.user.email).sort();
}

function isText(value, name) {
	assert.equal(typeof value, "string", `${name} is a string`);
	assert.ok(value.length > 0, `${name} is not empty`);
}

function isDate(value, name) {
	assert.ok(value instanceof Date && !Number.isNaN(value.getTime()), `${name} is a date`);
}

/** Fails unless a value is a user, to the type of each member. */
export function isUser(user) {
	for (const name of ["id", "name", "email"]) isText(user[name], `user.${name}`);
	assert.equal(typeof user.emailVerified, "boolean", "user.emailVerified is a boolean");
	assert.ok(user.image === null || typeof user.image === "string", "user.image is null or a string");
	for (const name of ["createdAt", "updatedAt"]) isDate(user[name], `user.${name}`);
}

/** Fails unless a value is a session that is good for some time to come. */
export function isSession(session) {
	for (const name of ["id", "token", "userId"]) isText(session[name], `session.${name}`);
	for (const name of ["createdAt", "updatedAt", "expiresAt"]) isDate(session[name], `session.${name}`);
	assert.ok(session.expiresAt > new Date(), "the session has not expired");
	// Three digits after the second are milliseconds; more would put the date far off.
	assert.ok(Math.abs(session.createdAt - Date.now()) < 2 * timeout, "the session is new");
	for (const name of ["ipAddress", "userAgent"]) {
		assert.ok(session[name] === null || typeof session[name] === "string", `session.${name} is null or a string`);
	}
}
