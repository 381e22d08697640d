/* What an ordinary mail server answers, and where faults and personas step in. */
#include "tests/world/session.h"

#include <stdlib.h>
#include <string.h>

#include "tests/world/persona.h"

#define REPLY_MAX (256 * 1024)

/* --- replies --- */

static void count_answer(struct session *s, char digit)
{
	if (s->cmd && s->cmd->verb == VERB_RCPT)
		session_count_rcpt(s, s->cmd->domain, digit >= '2' && digit <= '5' ? digit - '0' : 9);
}

void session_reply(struct session *s, const char *text)
{
	struct buf out = BUF_INIT(REPLY_MAX);
	const char *last = strrchr(text, '\n');

	session_fill(s, text, &out);
	if (!out.err)
		session_tell(s, (char *)out.data, out.len);
	buf_free(&out);
	last = last ? last + 1 : text;
	count_answer(s, *last);
	if (!strncmp(last, "421", 3))
		session_close(s);
}

/* --- faults --- */

static bool applies(const struct session *s, const struct fault *f, enum phase at)
{
	uint32_t seen = s->seen[at];
	const char *local = s->cmd ? s->cmd->local : "";
	char client[ADDR_TEXT_MAX];

	if (f->clients.n && !patterns_fit(&f->clients, addr_ip_text(&s->peer, client)))
		return false;
	if (f->over != OVER_ANY && (f->over == OVER_TLS) != session_is_tls(s))
		return false;
	return f->is_set && f->at == at && (!f->nth || f->nth == seen) && (!f->from || seen >= f->from) &&
	       (!f->connections || s->number <= f->connections) && (!f->only.n || patterns_fit(&f->only, local)) &&
	       !patterns_fit(&f->except, local);
}

static void speak(struct session *s, const struct fault *f)
{
	if (f->reply)
		session_reply(s, f->reply);
	if (!f->raw.data)
		return;
	session_tell(s, f->raw.data, f->raw.len);
	count_answer(s, f->raw.len ? f->raw.data[0] : '\0');
}

static void speak_for_ever(struct session *s, const struct fault *f)
{
	struct buf out = BUF_INIT(REPLY_MAX);

	if (f->reply)
		session_fill(s, f->reply, &out);
	else
		buf_append(&out, f->raw.data, f->raw.len);
	session_endless(s, (char *)out.data, out.len, f->every_ms);
	buf_free(&out);
}

static enum outcome run_fault(struct session *s, const struct fault *f)
{
	if (f->then == THEN_ENDLESS) {
		speak_for_ever(s, f);
		return DONE;
	}
	speak(s, f);
	switch (f->then) {
	case THEN_CLOSE: session_close(s); return DONE;
	case THEN_SILENT: session_silent(s); return DONE;
	case THEN_RESET: session_reset(s); return DONE;
	default: return f->reply || f->raw.data ? DONE : PASS;
	}
}

/* The host's i-th fault, and last the persona's; NULL after it. */
static const struct fault *fault_at(const struct host *h, size_t i)
{
	return i < h->faults ? &h->fault[i] : i == h->faults ? &h->own : NULL;
}

static enum outcome run_faults_and_hooks(struct session *s, enum phase at)
{
	const struct host *h = s->host;
	const struct fault *f;

	for (size_t i = 0; (f = fault_at(h, i)); i++)
		if (f->then != THEN_ADD && applies(s, f, at) && run_fault(s, f) == DONE)
			return DONE;
	for (const struct hook *k = h->persona->hook; k < h->persona->hook + PERSONA_HOOKS && k->run; k++)
		if (k->at == at && k->run(s) == DONE)
			return DONE;
	return PASS;
}

/* Behind the answer, in the same segment. */
static void run_additions(struct session *s, enum phase at)
{
	const struct fault *f;

	for (size_t i = 0; (f = fault_at(s->host, i)); i++)
		if (f->then == THEN_ADD && applies(s, f, at))
			speak(s, f);
}

static uint32_t fault_delay(struct session *s, enum phase at)
{
	const struct fault *f;

	for (size_t i = 0; (f = fault_at(s->host, i)); i++)
		if (applies(s, f, at) && f->delay_ms)
			return f->delay_ms;
	return 0;
}

/* --- the ordinary server --- */

uint32_t session_banner_delay(struct session *s)
{
	const struct traits *t = &s->host->traits;

	s->seen[PHASE_BANNER] = 1;
	return s->host->latency_ms + t->banner_delay_ms + t->reply_delay_ms + fault_delay(s, PHASE_BANNER);
}

void session_greet(struct session *s)
{
	size_t before = s->out.len;

	s->state = SESSION_OPEN;
	if (run_faults_and_hooks(s, PHASE_BANNER) == PASS)
		session_reply(s, s->host->banner);
	run_additions(s, PHASE_BANNER);
	if (s->state == SESSION_OPEN && s->out.len > before && s->out.data[before] != '2')
		s->state = SESSION_REFUSED;
}

static void keep(char **field, const char *bytes, size_t n)
{
	free(*field);
	*field = calloc(1, n + 1);
	if (!*field)
		abort();
	memcpy(*field, bytes, n);
}

static void end_transaction(struct session *s)
{
	free(s->sender);
	s->sender = NULL;
	if (s->state == SESSION_MAIL)
		s->state = SESSION_READY;
}

static void hello(struct session *s)
{
	struct buf text = BUF_INIT(REPLY_MAX);
	const struct yml_list *ext = &s->host->extensions;
	bool lists = s->cmd->verb == VERB_EHLO;
	bool has_tls = lists && s->host->traits.tls && !s->tls;

	if (!s->cmd->arg_len) {
		session_reply(s, "501 5.5.4 Syntax: EHLO hostname");
		return;
	}
	end_transaction(s);
	keep(&s->helo, s->cmd->arg, s->cmd->arg_len);
	s->state = SESSION_READY;
	s->is_esmtp = lists;
	buf_printf(&text, "250%c$host", lists && (ext->n || has_tls) ? '-' : ' ');
	for (size_t i = 0; lists && i < ext->n; i++)
		buf_printf(&text, "\n250%c%s", i + 1 < ext->n || has_tls ? '-' : ' ', ext->item[i]);
	if (has_tls)
		buf_puts(&text, "\n250 STARTTLS");
	session_reply(s, buf_str(&text));
	buf_free(&text);
}

static bool offers(const struct session *s, const char *keyword)
{
	const struct yml_list *ext = &s->host->extensions;
	size_t n = strlen(keyword);

	for (size_t i = 0; s->is_esmtp && i < ext->n; i++)
		if (!strncasecmp(ext->item[i], keyword, n) && (!ext->item[i][n] || ext->item[i][n] == ' '))
			return true;
	return false;
}

static bool mail_params_ok(struct session *s)
{
	const char *text;
	size_t n;

	s->has_utf8 = false;
	for (size_t i = 0; smtp_cmd_param(s->cmd, i, &text, &n); i++) {
		bool is_utf8 = n == 8 && !strncasecmp(text, "SMTPUTF8", 8);
		bool ok = (is_utf8 && offers(s, "SMTPUTF8")) ||
			  (n > 5 && !strncasecmp(text, "SIZE=", 5) && offers(s, "SIZE")) ||
			  (n > 5 && !strncasecmp(text, "BODY=", 5) && offers(s, "8BITMIME"));
		if (!ok)
			return false;
		s->has_utf8 |= is_utf8;
	}
	return true;
}

static void mail(struct session *s)
{
	if (s->state == SESSION_OPEN) {
		session_reply(s, "503 5.5.1 Error: send HELO/EHLO first");
	} else if (s->state == SESSION_MAIL) {
		session_reply(s, "503 5.5.1 Error: nested MAIL command");
	} else if (!s->cmd->path_ok) {
		session_reply(s, "501 5.5.4 Syntax: MAIL FROM:<address>");
	} else if (!mail_params_ok(s)) {
		session_reply(s, "555 5.5.4 Unsupported option");
	} else if (s->cmd->is_utf8 && !s->has_utf8) {
		session_reply(s, "550 5.6.7 Sender address needs SMTPUTF8");
	} else {
		keep(&s->sender, s->cmd->path, s->cmd->path_len);
		s->state = SESSION_MAIL;
		session_reply(s, "250 2.1.0 Ok");
	}
}

/* In the order: whom do we serve, what is said of this very mailbox, who exists. */
static const char *recipient_reply(const struct session *s)
{
	const struct smtp_cmd *c = s->cmd;
	const struct host *h = s->host;
	const struct name *domain = desc_name(session_desc(s), c->domain);
	const char *reply = NULL;

	if (c->domain[0] && !desc_serves(session_desc(s), h, c->domain))
		return h->relay_reply;
	reply = mailboxes_reply(&h->mailboxes, c->local);
	if (!reply && domain)
		reply = mailboxes_reply(&domain->mailboxes, c->local);
	if (reply)
		return reply;
	if (h->persona->accepts_all || (h->postmaster && !strcasecmp(c->local, "postmaster")) ||
		mailboxes_has(&h->mailboxes, c->local) || (domain && mailboxes_has(&domain->mailboxes, c->local)))
		return "250 2.1.5 Ok";
	return h->unknown_reply;
}

/* What is wrong with the command itself; NULL: nothing. */
static const char *rcpt_error(const struct session *s)
{
	const char *text;
	size_t n;

	if (s->state != SESSION_MAIL)
		return "503 5.5.1 Error: need MAIL command";
	if (!s->cmd->path_ok)
		return "501 5.1.3 Bad recipient address syntax";
	if (smtp_cmd_param(s->cmd, 0, &text, &n))
		return "555 5.5.4 Unsupported option";
	if (s->cmd->is_utf8 && !s->has_utf8)
		return "553 5.6.7 Recipient address needs SMTPUTF8";
	return NULL;
}

static bool is_unknown(const struct session *s)
{
	return !rcpt_error(s) && recipient_reply(s) == s->host->unknown_reply;
}

static void rcpt(struct session *s)
{
	const char *reply = rcpt_error(s);

	if (!reply) {
		reply = recipient_reply(s);
		if (reply == s->host->unknown_reply) {
			s->unknown++;
			if (s->host->persona->unknown)
				s->host->persona->unknown(s);
		}
	}
	session_reply(s, reply);
}

static void starttls(struct session *s)
{
	if (!s->host->traits.tls || s->state == SESSION_MAIL) {
		session_reply(s, s->host->traits.tls ? "503 5.5.1 Error: inside a transaction"
						     : "502 5.5.1 Error: command not implemented");
	} else if (s->tls) {
		session_reply(s, "503 5.5.1 Error: TLS is in use already");
	} else if (s->cmd->arg_len) {
		session_reply(s, "501 5.5.4 Syntax: STARTTLS");
	} else {
		session_reply(s, "220 2.0.0 Ready to start TLS");
		if (s->host->traits.tls_fault == TLS_INJECTS)
			session_reply(s, s->host->traits.tls_inject);
		/* What was said in clear is forgotten (RFC 3207). */
		end_transaction(s);
		s->state = SESSION_OPEN;
		s->is_esmtp = false;
		session_tls_start(s);
	}
}

static void rset(struct session *s)
{
	end_transaction(s);
	session_reply(s, "250 2.0.0 Ok");
}

static void noop(struct session *s)
{
	session_reply(s, "250 2.0.0 Ok");
}

static void quit(struct session *s)
{
	session_reply(s, "221 2.0.0 Bye");
	session_close(s);
}

/* DATA, AUTH and all the rest: nobody may ever get further here. */
static void other(struct session *s)
{
	session_reply(s, "502 5.5.2 Error: command not recognized");
}

static void nothing(struct session *s)
{
	(void)s;
}

static void (*const ORDINARY[PHASES])(struct session *) = {
	[PHASE_BANNER] = nothing,
	[PHASE_EHLO] = hello,
	[PHASE_HELO] = hello,
	[PHASE_STARTTLS] = starttls,
	[PHASE_MAIL] = mail,
	[PHASE_RCPT] = rcpt,
	[PHASE_RSET] = rset,
	[PHASE_NOOP] = noop,
	[PHASE_QUIT] = quit,
	[PHASE_OTHER] = other,
};

static bool needs_tls(const struct session *s, enum phase at)
{
	return s->host->traits.tls == TLS_REQUIRED && !s->tls && at != PHASE_EHLO && at != PHASE_HELO &&
	       at != PHASE_STARTTLS && at != PHASE_NOOP && at != PHASE_QUIT;
}

static void answer(struct session *s, enum phase at)
{
	if (s->is_early && s->host->early_reply)
		session_reply(s, s->host->early_reply);
	else if (s->state == SESSION_REFUSED && at != PHASE_QUIT)
		session_reply(s, "503 5.5.1 Error: refused already, say QUIT");
	else if (run_faults_and_hooks(s, at) == DONE)
		;
	else if (needs_tls(s, at))
		session_reply(s, "530 5.7.0 Must issue a STARTTLS command first");
	else
		ORDINARY[at](s);
	run_additions(s, at);
}

static uint32_t delay(struct session *s, enum phase at)
{
	const struct traits *t = &s->host->traits;
	uint32_t ms = t->reply_delay_ms + fault_delay(s, at);

	if (t->unknown_delay_ms && at == PHASE_RCPT && is_unknown(s))
		ms += t->unknown_delay_ms;
	return ms;
}

bool session_line(struct session *s, const uint8_t *line, size_t n)
{
	struct smtp_cmd cmd;
	char ascii[PATH_DOMAIN_MAX];
	enum phase at;
	uint32_t ms = 0;

	smtp_cmd_read(&cmd, line, n);
	if (desc_a_labels(cmd.domain, ascii, sizeof ascii))
		memcpy(cmd.domain, ascii, sizeof ascii);
	at = verb_phase(cmd.verb);
	s->cmd = &cmd;
	if (!s->has_waited) {
		s->seen[at]++;
		if (cmd.verb == VERB_RCPT)
			session_count_rcpt(s, cmd.domain, 0);
		ms = delay(s, at);
	}
	s->has_waited = ms > 0;
	if (ms)
		session_wait(s, ms);
	else
		answer(s, at);
	s->cmd = NULL;
	return !ms;
}
