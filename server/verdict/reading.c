#include "server/verdict/reading.h"

#include <ctype.h>
#include <string.h>
#include <unistr.h>

#include "server/verdict/echo.h"
#include "server/verdict/rules.h"
#include "server/verdict/said.h"

#define EVIDENCE_MAX 512

static bool code_fits(const char pattern[4], int code)
{
	char digits[3] = { (char)('0' + code / 100 % 10), (char)('0' + code / 10 % 10), (char)('0' + code % 10) };
	for (int i = 0; i < 3; i++)
		if (isdigit((unsigned char)pattern[i]) && pattern[i] != digits[i])
			return false;
	return true;
}

/* "5.7.x": x is any number. */
static bool enhanced_fits(const char *pattern, const char *code)
{
	while (*pattern && *code) {
		if (*pattern == 'x') {
			if (!isdigit((unsigned char)*code))
				return false;
			while (isdigit((unsigned char)*code))
				code++;
			pattern++;
		} else if (*pattern++ != *code++) {
			return false;
		}
	}
	return !*pattern && !*code;
}

/* Over the match limit is no match: a text made to exhaust us says nothing. */
static bool matches(const struct rules *rules, const pcre2_code *pattern, pcre2_match_data *md, const char *s, size_t n)
{
	return pcre2_match(pattern, (PCRE2_SPTR)s, n, 0, PCRE2_NO_UTF_CHECK, md, rules->limits) >= 0;
}

static bool text_matches(const struct rules *rules, const pcre2_code *p, pcre2_match_data *md, const struct said *said)
{
	return matches(rules, p, md, said->text[0], said->n[0]) ||
	       (said->n[1] && matches(rules, p, md, said->text[1], said->n[1]));
}

static bool operator_fits(const struct rule *rule, const char *name)
{
	for (unsigned i = 0; i < rule->operators_n; i++)
		if (strcmp(rule->operators[i], name) == 0)
			return true;
	return !rule->operators_n;
}

static bool codes_fit(const struct rule *rule, int code, const char *enhanced)
{
	bool basic = !rule->codes_n, finer = !rule->enhanced_n;
	for (unsigned i = 0; i < rule->codes_n; i++)
		basic |= code_fits(rule->codes[i], code);
	for (unsigned i = 0; i < rule->enhanced_n; i++)
		finer |= enhanced_fits(rule->enhanced[i], enhanced);
	return basic && finer;
}

static bool rule_fits(const struct rules *rules, const struct rule *rule, const struct reading_context *ctx, int code,
	const struct said *said, pcre2_match_data *md)
{
	if (!(rule->phases & 1u << ctx->phase) || !operator_fits(rule, ctx->operator_name) ||
		!codes_fit(rule, code, said->enhanced))
		return false;
	if ((rule->quotes_sender && !said->sender) || (rule->quotes_no_recipient && said->recipient))
		return false;
	if (rule->links && !matches(rules, rule->links, md, said->links, said->links_n))
		return false;
	if (rule->text && !text_matches(rules, rule->text, md, said))
		return false;
	return !rule->unless || !text_matches(rules, rule->unless, md, said);
}

static const struct rule *rule_for(
	const struct rules *rules, const struct reading_context *ctx, int code, const struct said *said)
{
	pcre2_match_data *md = pcre2_match_data_create(1, NULL);
	if (!md) /* judged by its code, as if no rule fitted: the cautious side */
		return NULL;
	const struct rule *found = NULL;
	for (size_t i = 0; i < rules->n && !found; i++)
		if (rule_fits(rules, &rules->rule[i], ctx, code, said, md))
			found = &rules->rule[i];
	pcre2_match_data_free(md);
	return found;
}

static struct reading plain_reading(enum reason reason, enum strength strength, const char *rule)
{
	return (struct reading){ .kind = MEANS_REASON, .reason = reason, .strength = strength, .rule = rule };
}

/* 5yz without a rule, to RCPT. */
static struct reading refused_recipient(int code)
{
	struct reading r = plain_reading(REASON_REFUSED_UNCLEAR, STRENGTH_AMBIGUOUS, "code-5yz");
	if (code == 550 || code == 551) {
		r.reason = REASON_MAILBOX_UNKNOWN;
		r.rule = "code-550";
	}
	return r;
}

/* What the basic code alone suggests. */
static struct reading by_code(enum phase phase, int code)
{
	struct reading r;
	if (phase == PHASE_TLS)
		r = plain_reading(REASON_TLS_FAILED, STRENGTH_AMBIGUOUS, "code-starttls-refused");
	else if (code < 500)
		r = plain_reading(REASON_TEMPORARY_FAILURE, STRENGTH_AMBIGUOUS, "code-4yz");
	else if (code <= 504 && (phase == PHASE_MAIL || phase == PHASE_RCPT)) {
		r = plain_reading(REASON_PROTOCOL_ERROR, STRENGTH_AMBIGUOUS, "code-500-504");
		r.kind = MEANS_PIPELINE_QUARREL;
	} else if (phase == PHASE_RCPT)
		r = refused_recipient(code);
	else {
		r = plain_reading(REASON_SOURCE_REFUSED, STRENGTH_AMBIGUOUS, "code-5yz-before-rcpt");
		r.scope = SCOPE_DOMAIN;
	}
	r.unclassified = true;
	return r;
}

static uint32_t stated_delay(const struct said *said)
{
	uint32_t a = said_delay(said->text[0], said->n[0]), b = said_delay(said->text[1], said->n[1]);
	return a > b ? a : b; /* a number may be folded: the longer wait is the polite one */
}

static bool may_wait(const struct reading *r, int code)
{
	return code < 500 || r->reason == REASON_GREYLISTED || r->reason == REASON_MAILBOX_BUSY;
}

static struct reading refusal(const struct rules *rules, const struct reading_context *ctx, const struct reply *reply)
{
	struct said said;
	said_prepare(&said, ctx, reply);
	const struct rule *rule = rule_for(rules, ctx, reply->code, &said);
	struct reading r = by_code(ctx->phase, reply->code);
	if (rule)
		r = (struct reading){ .kind = rule->kind,
			.reason = rule->reason,
			.strength = rule->strength,
			.scope = rule->scope,
			.stop = rule->stop,
			.delay_s = rule->delay_s,
			.rule = rule->id };
	if (reply->code < 500) {
		/* whatever it says, 4yz makes nothing undeliverable and stops nothing by itself */
		if (reason_verdict(r.reason) == VERDICT_UNDELIVERABLE)
			r.reason = REASON_TEMPORARY_FAILURE;
		r.stop = STOP_NONE;
	}
	if (may_wait(&r, reply->code)) {
		uint32_t stated = stated_delay(&said);
		if (stated)
			r.delay_s = stated;
	}
	r.about_us =
		r.kind == MEANS_REASON && (r.reason == REASON_SOURCE_REFUSED || r.reason == REASON_IDENTITY_REFUSED);
	return r;
}

struct reading reading_of(const struct rules *rules, const struct reading_context *ctx, const struct reply *reply)
{
	int code = reply->code;
	if (code < 200 || code > 599 || code / 100 == 3)
		return plain_reading(REASON_PROTOCOL_ERROR, STRENGTH_CLEAR, "code-no-answer");
	if (code / 100 == 2) {
		if (ctx->phase == PHASE_RCPT && code != 250 && code != 251)
			return plain_reading(REASON_CATCH_ALL_UNKNOWN, STRENGTH_CLEAR, "code-252");
		return plain_reading(REASON_ACCEPTED, STRENGTH_CLEAR, "code-2yz");
	}
	return refusal(rules, ctx, reply);
}

static uint64_t mix(uint64_t h, char c)
{
	return (h ^ (unsigned char)c) * 0x100000001b3u; /* FNV-1a */
}

uint64_t reading_fingerprint(const struct reading_context *ctx, const struct reply *reply)
{
	struct said said;
	said_prepare(&said, ctx, reply);
	uint64_t h = 0xcbf29ce484222325u;
	for (int code = reply->code, i = 0; i < 3; i++, code /= 10)
		h = mix(h, (char)('0' + code % 10));
	for (const char *c = said.enhanced; *c; c++)
		h = mix(h, *c);
	/* words only: one with a digit in it is a queue id or a time, another in each reply */
	const char *s = said.text[0];
	for (size_t i = 0, end; i < said.n[0]; i = end + 1) {
		bool counted = false;
		for (end = i; end < said.n[0] && s[end] != ' '; end++)
			counted |= isdigit((unsigned char)s[end]) != 0;
		if (counted || end == i)
			continue;
		h = mix(h, ' ');
		for (size_t k = i; k < end; k++)
			if (!ispunct((unsigned char)s[k]))
				h = mix(h, (char)tolower((unsigned char)s[k]));
	}
	return h;
}

/* Evidence: written character by character so that it never ends inside one. */
static bool put_evidence(struct buf *out, size_t start, const char *s, size_t n)
{
	if (out->len - start + n > EVIDENCE_MAX || out->err)
		return false;
	buf_append(out, s, n);
	return true;
}

/* One address's forms that a server may echo. */
struct person {
	char unquoted[330]; /* "a b"@x as a b@x; "" when nothing was quoted */
	const char *whole;
	size_t local; /* bytes of the local part in `whole` */
};

static struct person person_of(const char *address)
{
	struct person p = { .whole = address };
	const char *at = strrchr(address, '@');
	p.local = at ? (size_t)(at - address) : strlen(address);
	size_t n = 0;
	if (*address == '"')
		for (const char *c = address; *c && n < sizeof p.unquoted - 1; c++)
			if ((*c != '"' && *c != '\\') || c >= address + p.local)
				p.unquoted[n++] = *c;
	return p;
}

/* Length of what at s[i] names the local part `local` of somebody, standing alone; shorter ones only in brackets. */
static size_t local_alone(const char *s, size_t n, size_t i, const char *local, size_t local_n)
{
	size_t len = echo_needle(s, n, i, local, local_n);
	if (!len || local_n >= 4)
		return len;
	bool open = i && strchr("<([\"'`", s[i - 1]) && s[i - 1];
	return open && i + len < n && s[i + len] && strchr(">)]\"'`@", s[i + len]) ? len : 0;
}

static size_t local_form(const char *s, size_t n, size_t i, const char *address, size_t local)
{
	const char *plus = memchr(address, '+', local);
	size_t len = local_alone(s, n, i, address, local);
	return len || !plus ? len : local_alone(s, n, i, address, (size_t)(plus - address));
}

/* Length of the echo of this person at s[i]. */
static size_t names(const struct person *p, const char *s, size_t n, size_t i, const char **domain)
{
	*domain = "";
	size_t len = echo_needle(s, n, i, p->whole, strlen(p->whole));
	if (!len)
		len = echo_needle(s, n, i, p->unquoted, strlen(p->unquoted));
	if (len) {
		*domain = p->whole + p->local;
		return len;
	}
	len = local_form(s, n, i, p->whole, p->local);
	const char *at = strrchr(p->unquoted, '@');
	return len || !at ? len : local_form(s, n, i, p->unquoted, (size_t)(at - p->unquoted));
}

/* Masks the address or name at s[i]; how much of s it took, 0 when there is none. `from`: the end of what was masked
 * before; what goes on there, as in "alice=bob@d.example", may be an address too. */
static size_t mask_at(const struct person who[2], const char *s, size_t n, size_t from, size_t i, bool in_url,
	struct buf *out, size_t start)
{
	size_t at, len;
	const char *domain;
	for (int k = 0; k < 2; k++) {
		len = *who[k].whole ? names(&who[k], s, n, i, &domain) : 0;
		/* the end of a longer address is masked with it */
		if (len && !(i + len < n && s[i + len] == '@')) {
			bool all =
				put_evidence(out, start, "***", 3) && put_evidence(out, start, domain, strlen(domain));
			return all ? len : n - i;
		}
	}
	len = echo_address(s + from, n - from, i - from, in_url, &at);
	if (!len)
		return 0;
	return put_evidence(out, start, "***", 3) ? from + at - i : n - i;
}

void reading_mask(const struct reading_context *ctx, const struct reply *reply, struct buf *out)
{
	struct person who[2] = { person_of(ctx->recipient), person_of(ctx->sender) };
	const char *s = reply->text;
	size_t n = reply->text_len, start = out->len, url_end = 0, from = 0;
	for (size_t i = 0; i < n && out->len - start < EVIDENCE_MAX;) {
		if (i >= url_end)
			url_end = i + echo_url(s, n, i);
		size_t used = mask_at(who, s, n, from, i, i < url_end, out, start);
		if (used) {
			from = i += used;
			continue;
		}
		ucs4_t c;
		int bytes = u8_mbtoucr(&c, (const uint8_t *)s + i, n - i);
		bool fine = bytes > 0 && c >= ' ' && !(c >= 0x7f && c < 0xa0);
		if (s[i] == '\n' ? !put_evidence(out, start, " ", 1)
				 : !put_evidence(out, start, fine ? s + i : "\xef\xbf\xbd", fine ? (size_t)bytes : 3))
			return;
		i += bytes > 0 ? (size_t)bytes : 1;
	}
}
