// Better Auth itself, as its documentation has it set up, with the accounts that the scenarios know:
// those of a provider where there is one, else its own.
// It prints its address when it serves, and ends when its input does.
import { createServer } from "node:http";
import { betterAuth } from "better-auth";
import { memoryAdapter } from "better-auth/adapters/memory";
import { toNodeHandler } from "better-auth/node";
import { genericOAuth, multiSession, username } from "better-auth/plugins";

const server = createServer();
await new Promise(resolve => server.listen(0, "127.0.0.1", resolve));
const baseURL = `http://127.0.0.1:${server.address().port}`;

const { ISSUER: issuer, PROVIDER: providerId, CLIENT_ID: clientId, CLIENT_SECRET: clientSecret } = process.env;
const providers = issuer ? [genericOAuth({ config: [{
	providerId, clientId, clientSecret,
	discoveryUrl: `${issuer}/.well-known/openid-configuration`,
	scopes: ["openid", "profile", "email"],
	pkce: true,
	authentication: "basic",
}] })] : [];

const auth = betterAuth({
	baseURL,
	basePath: process.env.GATEWAY_PATH,
	secret: "for this process, which nobody else talks to",
	database: memoryAdapter({ user: [], session: [], account: [], verification: [] }),
	// A database has a null where nothing was given; the one in memory leaves the member out.
	databaseHooks: { user: { create: { before: async user => ({ data: { ...user, image: user.image ?? null } }) } } },
	emailAndPassword: { enabled: true },
	plugins: [username(), multiSession(), ...providers],
	telemetry: { enabled: false },
	logger: { disabled: true },
});
for (const name of issuer ? [] : ["alice", "bob", "carol"]) {
	const body = { name, username: name, email: `${name}@example.com`, password: `${name}-example` };
	await auth.api.signUpEmail({ body });
}
server.on("request", toNodeHandler(auth));
console.log(baseURL);
process.stdin.resume().on("end", () => process.exit());
