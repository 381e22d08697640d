/* What an ordinary mail server answers, and where faults and personas step in. */
#include "tests/world/session.h"

#include <stdlib.h>
#include <string.h>

#include "tests/world/persona.h"

#define REPLY_MAX (256 * 1024)

/* --- replies --- */

static void put_bytes(struct buf *out, const char *bytes, size_t n)
{
	for (size_t i = 0; i < n; i++)
		buf_putc(out, bytes[i] == '\r' || bytes[i] == '\n' ? ' ' : bytes[i]);
}

static void put_rcpt(struct session *s, struct buf *out)
{
	if (s->cmd && s->cmd->path)
		put_bytes(out, s->cmd->path, s->cmd->path_len);
}

static void put_local(struct session *s, struct buf *out)
{
	if (s->cmd)
		buf_puts(out, s->cmd->local);
}

static void put_domain(struct session *s, struct buf *out)
{
	if (s->cmd)
		buf_puts(out, s->cmd->domain);
}

static void put_sender(struct session *s, struct buf *out)
{
	buf_puts(out, s->sender ? s->sender : "");
}

static void put_client(struct session *s, struct buf *out)
{
	char text[ADDR_TEXT_MAX];

	buf_puts(out, addr_ip_text(&s->peer, text));
}

static void put_host(struct session *s, struct buf *out)
{
	buf_puts(out, s->host->name);
}

static void put_helo(struct session *s, struct buf *out)
{
	buf_puts(out, s->helo ? s->helo : "");
}

static void put_seconds(struct session *s, struct buf *out)
{
	buf_printf(out, "%u", (s->host->after_ms + 999) / 1000);
}

static const struct {
	const char *word;
	void (*put)(struct session *, struct buf *);
} FILL[] = {
	{ "$rcpt", put_rcpt },
	{ "$local", put_local },
	{ "$domain", put_domain },
	{ "$sender", put_sender },
	{ "$client", put_client },
	{ "$host", put_host },
	{ "$helo", put_helo },
	{ "$seconds", put_seconds },
};

static void fill(struct session *s, const char *text, struct buf *out)
{
	while (*text) {
		size_t taken = 0;
		for (size_t i = 0; *text == '$' && i < sizeof FILL / sizeof *FILL && !taken; i++) {
			if (!strncmp(text, FILL[i].word, strlen(FILL[i].word))) {
				FILL[i].put(s, out);
				taken = strlen(FILL[i].word);
			}
		}
		if (!taken) {
			if (*text == '\n')
				buf_putc(out, '\r');
			buf_putc(out, *text);
			taken = 1;
		}
		text += taken;
	}
	buf_append(out, "\r\n", 2);
}

void session_reply(struct session *s, const char *text)
{
	struct buf out = BUF_INIT(REPLY_MAX);
	const char *last = strrchr(text, '\n');

	fill(s, text, &out);
	if (!out.err)
		session_tell(s, (char *)out.data, out.len);
	buf_free(&out);
	last = last ? last + 1 : text;
	if (s->cmd && s->cmd->verb == VERB_RCPT)
		session_count_rcpt(s, s->cmd->domain, *last >= '2' && *last <= '5' ? *last - '0' : 9);
	if (!strncmp(last, "421", 3))
		session_close(s);
}

/* --- faults --- */

static bool applies(const struct session *s, const struct fault *f, enum phase at)
{
	uint32_t seen = s->seen[at];
	const char *local = s->cmd ? s->cmd->local : "";

	return f->is_set && f->at == at && (!f->nth || f->nth == seen) && (!f->from || seen >= f->from) &&
	       (!f->connections || s->number <= f->connections) && (!f->only.n || patterns_fit(&f->only, local)) &&
	       !patterns_fit(&f->except, local);
}

static enum outcome run_fault(struct session *s, const struct fault *f)
{
	if (f->reply)
		session_reply(s, f->reply);
	switch (f->then) {
	case THEN_GO_ON: return f->reply ? DONE : PASS;
	case THEN_CLOSE: session_close(s); break;
	case THEN_SILENT: session_silent(s); break;
	case THEN_RESET: session_reset(s); break;
	}
	return DONE;
}

static enum outcome run_faults_and_hooks(struct session *s, enum phase at)
{
	const struct host *h = s->host;

	for (size_t i = 0; i < h->faults; i++)
		if (applies(s, &h->fault[i], at) && run_fault(s, &h->fault[i]) == DONE)
			return DONE;
	if (applies(s, &h->own, at) && run_fault(s, &h->own) == DONE)
		return DONE;
	for (const struct hook *k = h->persona->hook; k < h->persona->hook + PERSONA_HOOKS && k->run; k++)
		if (k->at == at && k->run(s) == DONE)
			return DONE;
	return PASS;
}

/* --- the ordinary server --- */

void session_greet(struct session *s)
{
	size_t before = s->out.len;

	s->state = SESSION_OPEN;
	s->seen[PHASE_BANNER]++;
	if (run_faults_and_hooks(s, PHASE_BANNER) == PASS)
		session_reply(s, s->host->banner);
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

	if (!s->cmd->arg_len) {
		session_reply(s, "501 5.5.4 Syntax: EHLO hostname");
		return;
	}
	end_transaction(s);
	keep(&s->helo, s->cmd->arg, s->cmd->arg_len);
	s->state = SESSION_READY;
	s->is_esmtp = lists;
	buf_printf(&text, "250%c$host", lists && ext->n ? '-' : ' ');
	for (size_t i = 0; lists && i < ext->n; i++)
		buf_printf(&text, "\n250%c%s", i + 1 < ext->n ? '-' : ' ', ext->item[i]);
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
static void recipient(struct session *s)
{
	const struct smtp_cmd *c = s->cmd;
	const struct host *h = s->host;
	const struct name *domain = desc_name(session_desc(s), c->domain);
	const char *reply = NULL;

	if (c->domain[0] && !desc_serves(session_desc(s), h, c->domain)) {
		session_reply(s, h->relay_reply);
		return;
	}
	reply = mailboxes_reply(&h->mailboxes, c->local);
	if (!reply && domain)
		reply = mailboxes_reply(&domain->mailboxes, c->local);
	if (reply)
		session_reply(s, reply);
	else if (h->persona->accepts_all || (h->postmaster && !strcasecmp(c->local, "postmaster")) ||
		 mailboxes_has(&h->mailboxes, c->local) || (domain && mailboxes_has(&domain->mailboxes, c->local)))
		session_reply(s, "250 2.1.5 Ok");
	else
		session_reply(s, h->unknown_reply);
}

static void rcpt(struct session *s)
{
	const char *text;
	size_t n;

	if (s->state != SESSION_MAIL)
		session_reply(s, "503 5.5.1 Error: need MAIL command");
	else if (!s->cmd->path_ok)
		session_reply(s, "501 5.1.3 Bad recipient address syntax");
	else if (smtp_cmd_param(s->cmd, 0, &text, &n))
		session_reply(s, "555 5.5.4 Unsupported option");
	else if (s->cmd->is_utf8 && !s->has_utf8)
		session_reply(s, "553 5.6.7 Recipient address needs SMTPUTF8");
	else
		recipient(s);
}

static void starttls(struct session *s)
{
	session_reply(s, "502 5.5.1 Error: command not implemented");
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

static void answer(struct session *s)
{
	enum phase at = verb_phase(s->cmd->verb);

	if (s->is_early && s->host->early_reply)
		session_reply(s, s->host->early_reply);
	else if (s->state == SESSION_REFUSED && at != PHASE_QUIT)
		session_reply(s, "503 5.5.1 Error: refused already, say QUIT");
	else if (run_faults_and_hooks(s, at) == PASS)
		ORDINARY[at](s);
}

void session_line(struct session *s, const uint8_t *line, size_t n)
{
	struct smtp_cmd cmd;

	smtp_cmd_read(&cmd, line, n);
	s->cmd = &cmd;
	s->seen[verb_phase(cmd.verb)]++;
	if (cmd.verb == VERB_RCPT)
		session_count_rcpt(s, cmd.domain, 0);
	answer(s);
	s->cmd = NULL;
}
