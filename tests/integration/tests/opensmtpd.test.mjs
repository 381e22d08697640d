// OpenSMTPD, as it reads lines one by one. What is asserted of the conversations is read from its own trace.
import assert from "node:assert/strict";
import net from "node:net";
import { OpenSmtpd, opensmtpdMissing } from "../lib/opensmtpd.mjs";
import { selfSigned } from "../lib/postfix-services.mjs";
import { Scenario, assertVerdict, test } from "../lib/scenario.mjs";
import { Description, isRandomControl, loopback } from "../lib/world.mjs";

// A listener for each: its own address, mail host and domain WORD.test.
const LISTENERS = {
	plain: "", users: "", anyone: "", foreign: "",
	offers: "tls pki mail.test", demands: "tls-require pki mail.test",
};
const KNOWN = ["zq-os-known", "zq-os-second", "zq-os-third", "zq-os-fourth", "zq-os-fifth", "zq-os-sixth", "zq-os-seventh"];
const RECIPIENTS = 5; // in a transaction
const VIRTUAL = ["plain", "offers", "demands"];

function configuration(hosts, port) {
	const listen = ([word, options]) => `listen on ${hosts[word]} port ${port} ${options.replace(/\bmail\.test/, '"mail.test"')} hostname mx.${word}.test\n`;
	const boxes = VIRTUAL.flatMap((word) => KNOWN.map((name) => `"${name}@${word}.test" = "box"`));
	const users = ["box", ...KNOWN].map((name) => `"${name}" = "1000:1000:/nonexistent"`);
	return `pki "mail.test" cert "/etc/cert.pem"
pki "mail.test" key "/etc/key.pem"
smtp limit max-rcpt ${RECIPIENTS}
table boxes { ${[...boxes, '"@anyone.test" = "box"'].join(", ")} }
table users { ${users.join(", ")} }
${Object.entries(LISTENERS).map(listen).join("")}
action "virtual" maildir "/nonexistent" virtual <boxes> userbase <users>
action "users" maildir "/nonexistent" userbase <users>
match from any for domain { ${[...VIRTUAL, "anyone"].map((word) => `"${word}.test"`).join(", ")} } action "virtual"
match from any for domain "users.test" action "users"
`;
}

const at = (word, ...names) => names.map((name) => `${name}@${word}.test`);
const answers = ({ list }) => list.map((result) => `${result.verdict} ${result.reason}`);
const verbs = ({ commands }) => commands.map((command) => command.split(/[ :]/)[0].toUpperCase());

/** Says all at once and gives the replies. */
function pipeline(host, port, lines) {
	return new Promise((resolve, reject) => {
		let said = "";
		const socket = net.connect({ host, port });
		socket.setEncoding("latin1").on("error", reject).on("close", () => resolve(said));
		socket.on("data", (text) => {
			if (!said) socket.write(lines);
			said += text;
		});
	});
}

const skip = opensmtpdMissing() ?? false;
test("OpenSMTPD", { skip, timeout: 120000 }, async (t) => {
	const d = new Description();
	const hosts = Object.fromEntries(Object.keys(LISTENERS).map((word) => {
		const address = loopback();
		d.host(`mx.${word}.test`, { addresses: [address], dead: true }); // published, not listened on: that is OpenSMTPD's part
		d.domain(`${word}.test`, { mx: `mx.${word}.test` });
		return [word, address];
	}));
	d.mail("world.test", []); // without a host of its own the world has no port
	const s = await Scenario.start(d, {}, { startDaemon: false });
	const certificate = selfSigned("mail.test", s.folder);
	const server = new OpenSmtpd({ config: configuration(hosts, s.world.smtpPort), files: certificate.files });
	t.after(() => server.stop());
	await server.start();
	await s.rcptd.start();
	const { client } = s;
	let failed = false;
	const part = (name, fn) => t.test(name, () => fn().catch((error) => {
		failed = true;
		throw error;
	}));

	await part("known and unknown recipients, each RCPT after the answer to the one before", async () => {
		const result = await client.verify(at("users", "zq-os-known", "zq-os-nobody-1", "zq-os-second"));
		assert.deepEqual(answers(result), ["DELIVERABLE ACCEPTED", "UNDELIVERABLE MAILBOX_UNKNOWN", "DELIVERABLE ACCEPTED"]);
		assert.equal(result.list[0].evidence.enhanced, "2.1.5");
		assert.equal(result.list[1].evidence.code, 550);
		assert.match(result.list[1].evidence.text, /^Invalid recipient: <\*+@users\.test>$/);
		const conversations = await server.settled("mx.users.test", 1);
		assert.equal(conversations.length, 1);
		const [{ commands, lines, replies }] = conversations;
		assert.deepEqual(verbs({ commands }), ["EHLO", "MAIL", "RCPT", "RCPT", "RCPT", "RCPT", "QUIT"]);
		assert.ok(isRandomControl(/<(.*)@/.exec(commands[5])[1]), "the random control last");
		assert.ok(!replies.includes("250-PIPELINING") && !replies.includes("250 PIPELINING"), "it does not offer pipelining");
		for (let i = 1; i < lines.length; i++) {
			if (lines[i].startsWith("<<< ")) assert.ok(/^>>> \d{3} /.test(lines[i - 1]), `answered before: ${lines[i]}`);
		}
	});

	await part("more recipients than a transaction may have", async () => {
		const result = await client.verify(at("users", ...KNOWN.slice(2)), { maxAge: 0 });
		assert.deepEqual(answers(result), result.list.map(() => "DELIVERABLE ACCEPTED"));
		const conversations = await server.settled("mx.users.test", 2);
		assert.equal(conversations.length, 2);
		const { commands, replies } = conversations[1];
		assert.deepEqual(verbs({ commands }), ["EHLO", "MAIL", ...Array(RECIPIENTS + 1).fill("RCPT"), "RSET", "MAIL", "RCPT", "QUIT"]);
		assert.ok(replies.includes("451 4.5.3 Too many recipients: Too many recipients"), replies.join("\n"));
		assert.equal(commands.at(-2), commands[RECIPIENTS + 2], "the control that found no room, in the next transaction");
	});

	await part("who pipelines is shown the door", async () => {
		const said = await pipeline(hosts.plain, s.world.smtpPort, "EHLO early.test\r\nMAIL FROM:<a@early.test>\r\nQUIT\r\n");
		assert.match(said, /^500 5\.5\.1 Invalid command: Pipelining not supported/m);
	});

	await part("virtual users: an unknown one is a list that cannot be expanded", async () => {
		const result = await client.verify(at("plain", "zq-os-known", "zq-os-nobody-1", "zq-os-second"));
		assert.deepEqual([answers(result)[0], answers(result)[2]], ["DELIVERABLE ACCEPTED", "DELIVERABLE ACCEPTED"]);
		const [, unclear] = result.list;
		assert.equal(unclear.verdict, "UNKNOWN");
		assert.match(unclear.reason, /^(REFUSED_UNCLEAR|CONTROL_REFUSED)$/, "the control got the same; neither word nor code speaks of a mailbox");
		assert.equal(unclear.evidence.code, 524);
		assert.equal(unclear.evidence.enhanced, "5.2.4");
		assert.match(unclear.evidence.text, /Mailing list expansion problem/);
	});

	await part("a catch-all", async () => {
		const result = await client.verify(at("anyone", "zq-os-known", "zq-os-nobody-1"));
		assert.deepEqual(answers(result), ["RISKY ACCEPT_ALL", "RISKY ACCEPT_ALL"]);
		assert.ok(isRandomControl(/<(.*)@/.exec((await server.settled("mx.anyone.test", 1))[0].commands.at(-2))[1]));
	});

	await part("a domain that it does not serve", async () => {
		const result = await client.verifyOne("zq-os-known@foreign.test");
		assertVerdict(result, "UNDELIVERABLE", "MAILBOX_UNKNOWN"); // it says no more than "Invalid recipient"
		assert.deepEqual(verbs((await server.settled("mx.foreign.test", 1))[0]), ["EHLO", "MAIL", "RCPT", "QUIT"]);
	});

	// Debian 12's, built for OpenSSL 1.1 and linked with 3, finds no private key: each of its handshakes fails. That is what hosts out there do.
	const failed_handshake = /smtp disconnected reason="io-error: error:[0-9A-F]+:SSL routines::EVP lib"/g;
	const handshakes = () => (server.log().match(failed_handshake) ?? []).length;

	await part("STARTTLS is offered and its handshake fails: once more in clear", async () => {
		const result = await client.verify(at("offers", "zq-os-known", "zq-os-second"));
		assert.deepEqual(answers(result), ["DELIVERABLE ACCEPTED", "DELIVERABLE ACCEPTED"]);
		assert.ok(result.list.every(({ evidence: { tls } }) => tls === null));
		const conversations = await server.settled("mx.offers.test", 1);
		assert.deepEqual(conversations.map(verbs), [["EHLO", "STARTTLS"], ["EHLO", "MAIL", "RCPT", "RCPT", "RCPT", "QUIT"]]);
		assert.deepEqual(conversations.map(({ tls }) => tls), [true, false]);
		assert.equal(handshakes(), 1);
	});

	await part("STARTTLS is demanded and its handshake fails", async () => {
		const result = await client.verify(at("demands", "zq-os-known", "zq-os-second"));
		for (const each of result.list) {
			assertVerdict(each, "UNKNOWN", "TLS_FAILED");
			assert.equal(each.evidence.code, 530);
			assert.match(each.evidence.text, /Must issue a STARTTLS command first/);
		}
		assert.deepEqual((await server.settled("mx.demands.test", 1)).map(verbs), [["EHLO", "STARTTLS"], ["EHLO", "MAIL", "QUIT"]]);
		assert.equal(handshakes(), 2);
	});

	await part("no message, no other command, no complaint", async () => {
		for (const word of Object.keys(LISTENERS)) {
			const conversations = server.seen(`mx.${word}.test`);
			assert.ok(conversations.length <= 3, `${word}: ${conversations.length} conversations`);
			for (const { commands } of conversations) {
				const other = verbs({ commands }).filter((verb) => !["EHLO", "STARTTLS", "MAIL", "RCPT", "RSET", "QUIT"].includes(verb));
				assert.deepEqual(other, [], word);
			}
		}
		const bad = server.log().split("\n").filter((line) => / smtp bad-input |fatal|Pipelining not supported/.test(line));
		assert.ok(bad.length > 0 && bad.length <= 2, `only the test's own pipelining: ${bad.join("\n")}`);
	});

	if (failed) process.stderr.write(`--- OpenSMTPD\n${server.log()}\n${await s.tail()}\n`);
	await s.close();
});
