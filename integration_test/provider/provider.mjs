// The certified provider of npm, as its documentation has it set up. Its first line of input is the
// configuration; it prints its issuer when it serves, and ends when its input does.
import { createServer } from "node:http";
import { createInterface } from "node:readline";
import { interactionPolicy, Provider } from "oidc-provider";
import { interact } from "./interaction.mjs";
import { logoutSource, postLogoutSuccessSource, renderError } from "./pages.mjs";

const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const { client, jwks, people, lifetime, plain, push } = JSON.parse((await lines.next()).value);

const server = createServer();
await new Promise(resolve => server.listen(0, "127.0.0.1", resolve));
const { port } = server.address();
const issuer = `http://localhost:${port}`;

const policy = interactionPolicy.base();
if (!plain) policy.add(new interactionPolicy.Prompt({ name: "select_account", requestable: true }), 0);

const provider = new Provider(issuer, {
	clients: [client],
	jwks,
	// Cookies do not know ports, and every provider of the tests is on this host.
	cookies: {
		keys: ["of this process"],
		names: { session: `session_${port}`, interaction: `interaction_${port}`, resume: `resume_${port}` },
	},
	scopes: ["openid", "offline_access", "profile", "email", "groups"],
	claims: {
		openid: ["sub"],
		profile: ["name", "preferred_username"],
		email: ["email", "email_verified"],
		groups: ["groups"],
	},
	conformIdTokenClaims: false,
	clientAuthMethods: ["client_secret_basic", "client_secret_post", "private_key_jwt", "none"],
	clientBasedCORS: () => false,
	pkce: { required: () => true },
	// A refresh token for every client that may have one, and another for each that is used.
	issueRefreshToken: (ctx, client) => client.grantTypeAllowed("refresh_token"),
	rotateRefreshToken: true,
	expiresWithSession: () => false,
	ttl: { AccessToken: lifetime, AuthorizationCode: 60, IdToken: 3600, RefreshToken: 86400, Interaction: 600, Session: 86400, Grant: 86400 },
	features: {
		devInteractions: { enabled: false },
		backchannelLogout: { enabled: true },
		pushedAuthorizationRequests: { enabled: true, requirePushedAuthorizationRequests: push },
		rpInitiatedLogout: { enabled: true, logoutSource, postLogoutSuccessSource },
		revocation: { enabled: true },
	},
	interactions: { policy, url: (ctx, interaction) => `/interaction/${interaction.uid}` },
	renderError,
	findAccount(ctx, sub) {
		const person = people.find(person => person.sub === sub);
		return person && { accountId: sub, claims: () => person };
	},
	loadExistingGrant,
	// Its own fetch refuses to talk to this machine, where the client is.
	fetch: (url, options) => fetch(url, { ...options, dispatcher: undefined }),
});

// loadExistingGrant lets the client have all that it asks for, without a page that asks.
async function loadExistingGrant(ctx) {
	const { session, client, provider } = ctx.oidc;
	const known = ctx.oidc.result?.consent?.grantId ?? session.grantIdFor(client.clientId);
	const grant = known ? await provider.Grant.find(known) : undefined;
	if (grant?.accountId === session.accountId) return grant;
	const fresh = new provider.Grant({ clientId: client.clientId, accountId: session.accountId });
	fresh.addOIDCScope("openid profile email groups offline_access");
	await fresh.save();
	return fresh;
}

for (const failed of ["server_error", "backchannel.error"]) {
	provider.on(failed, (ctx, error) => console.error(failed, error));
}

const answer = provider.callback();
server.on("request", (request, response) => {
	if (request.url.startsWith("/interaction/")) interact(provider, people, request, response);
	else answer(request, response);
});
console.log(issuer);
await lines.next();
process.exit();
