// An app behind the gateway that lists a browser's accounts, switches between them and signs one out,
// from its server. It has no cookie of the gateway's and needs none.
import { createServer } from "node:http";

const { PORT = "8081", ADMIN = "http://localhost:2019" } = process.env;

/** Asks the gateway's administration API. */
async function administer(method, path, body) {
	const answer = await fetch(`${ADMIN}/multi-session${path}`, {
		method,
		// Node.js marks its requests as a browser's, and Caddy's administration endpoint takes those from its
		// own origin only.
		headers: { Origin: new URL(ADMIN).origin, ...body && { "Content-Type": "application/json" } },
		body: body && JSON.stringify(body),
	});
	const data = await answer.json();
	if (!answer.ok) throw Object.assign(new Error(data.error), { status: answer.status });
	return data;
}

// Each acts for the browser that has the session which the gateway names. Sessions of other browsers
// are "no such session" to it, whatever ids the browser sends.
const beside = encodeURIComponent;
const list = async own => (await administer("GET", `/sessions?beside=${beside(own)}`)).sessions;
const setActive = (own, session) => administer("PUT", `/sessions/${beside(own)}/active`, { session });
const revoke = (own, session) => administer("DELETE", `/sessions/${beside(session)}?beside=${beside(own)}`);

const routes = {
	"GET /accounts": async own => (await list(own)).map(({ id, user, active }) => ({ id, user, active })),
	"POST /switch": (own, { session }) => setActive(own, session),
	"POST /sign-out": (own, { session }) => revoke(own, session),
};

createServer(async (request, response) => {
	const answer = (status, body) => response.writeHead(status, { "Content-Type": "application/json" }).end(JSON.stringify(body));
	try {
		const route = routes[`${request.method} ${request.url}`];
		if (!route) return answer(404, { error: "not found" });
		// A form of another site cannot have this type, and its scripts may not send it.
		if (request.method === "POST" && request.headers["content-type"] !== "application/json") return answer(415, { error: "send JSON" });
		let text = "";
		for await (const part of request.setEncoding("utf8")) text += part;
		answer(200, await route(request.headers["x-session"], text && JSON.parse(text)));
	} catch (error) {
		answer(error.status ?? 500, { error: error.message });
	}
}).listen(PORT, "127.0.0.1", function () { console.log(this.address().port); });
