// Reports to whoever started the scenarios: a line of JSON for each, and at the end one that says how
// many there were.
export default async function* report(events) {
	for await (const { type, data } of events) {
		if (data.nesting !== 0) continue;
		if (type === "test:plan") yield line({ count: data.count });
		if (type !== "test:pass" && type !== "test:fail") continue;
		yield line({
			name: data.name,
			passed: type === "test:pass" && data.skip === undefined && data.todo === undefined,
			detail: data.details.error ? describe(data.details.error) : undefined,
		});
	}
}

const line = value => JSON.stringify(value) + "\n";

// The runner wraps what a scenario threw.
function describe(error) {
	const cause = error.cause ?? error;
	return cause.stack ?? String(cause);
}
