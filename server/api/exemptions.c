/* ExemptionService. */
#include "store/exemptions.h"

#include <stdlib.h>
#include <string.h>

#include "proto/rcptd/v1/exemption.pb-c.h"
#include "server/api/internal.h"
#include "server/api/result.h"
#include "server/base/text.h"

#define PAGE_DEFAULT 100u
#define PAGE_MAX 1000u
#define POSITION_SIZE 1024u

struct shown_exemption {
	Rcptd__V1__Exemption message;
	Google__Protobuf__Timestamp created, revoked;
};

static Rcptd__V1__Exemption *show(struct shown_exemption *s, const struct exemption *e)
{
	rcptd__v1__exemption__init(&s->message);
	s->message.id = (char *)e->id;
	s->message.domain = (char *)e->domain;
	s->message.by = (char *)e->by;
	s->message.note = (char *)e->note;
	s->message.create_time = result_time(&s->created, e->created_ms);
	if (e->revoked_ms) {
		s->message.revoke_time = result_time(&s->revoked, e->revoked_ms);
		s->message.revoked_by = (char *)e->revoked_by;
		s->message.revoke_note = (char *)e->revoke_note;
	}
	return &s->message;
}

static void malformed(struct unary *u, const char *what)
{
	unary_fail(u, RPC_INVALID_ARGUMENT, "MALFORMED", what, NULL);
}

static void bad_field(struct unary *u, const char *reason, const char *field, const char *why)
{
	unary_fail(u, RPC_INVALID_ARGUMENT, reason, why, field);
}

/* A change on its way: through the store, then to every shard. */
struct change {
	struct unary *unary;
	struct exemption exemption;
	bool revoking;
};

static void change_done(struct change *c)
{
	unary_release(c->unary);
	free(c);
}

static void everywhere(void *ctx)
{
	struct change *c = ctx;
	struct shown_exemption shown;
	if (c->revoking) {
		Rcptd__V1__RevokeExemptionResponse r = RCPTD__V1__REVOKE_EXEMPTION_RESPONSE__INIT;
		r.exemption = show(&shown, &c->exemption);
		unary_reply(c->unary, &r.base);
	} else {
		Rcptd__V1__CreateExemptionResponse r = RCPTD__V1__CREATE_EXEMPTION_RESPONSE__INIT;
		r.exemption = show(&shown, &c->exemption);
		unary_reply(c->unary, &r.base);
	}
	change_done(c);
}

static void tell_shards(struct change *c)
{
	struct engine *engine = unary_api(c->unary)->engine;
	err_t err = c->revoking ? engine_unexempt(engine, c->exemption.domain, unary_loop(c->unary), everywhere, c)
				: engine_exempt(engine, c->exemption.domain, unary_loop(c->unary), everywhere, c);
	if (err) {
		unary_fail_err(c->unary, err);
		change_done(c);
	}
}

static void written(void *ctx, err_t err, const struct exemption *e)
{
	struct change *c = ctx;
	if (!err) {
		c->exemption = *e;
		tell_shards(c);
		return;
	}
	if (err == ERR_EXISTS)
		unary_fail(
			c->unary, RPC_ALREADY_EXISTS, "ALREADY_EXEMPT", "the domain has an exemption in force", NULL);
	else if (err == ERR_NOT_FOUND)
		unary_fail(c->unary, RPC_NOT_FOUND, "NO_SUCH_EXEMPTION", "there is no exemption with that id", NULL);
	else if (err == ERR_DENIED)
		unary_fail(c->unary, RPC_FAILED_PRECONDITION, "REVOKED_ALREADY", "it was revoked already", NULL);
	else
		unary_fail_err(c->unary, err);
	change_done(c);
}

static struct change *change_new(struct unary *u, bool revoking)
{
	struct change *c = calloc(1, sizeof *c);
	if (!c) {
		unary_fail_err(u, ERR_NOMEM);
		return NULL;
	}
	c->unary = u;
	c->revoking = revoking;
	unary_hold(u);
	return c;
}

static void create(struct unary *u, const uint8_t *msg, size_t len)
{
	Rcptd__V1__CreateExemptionRequest *r = rcptd__v1__create_exemption_request__unpack(NULL, len, msg);
	if (!r) {
		malformed(u, "not a CreateExemptionRequest");
		return;
	}
	struct exemption e = { 0 };
	const char *why;
	if ((why = check_domain(&r->domain, e.domain)))
		bad_field(u, "BAD_DOMAIN", "domain", why);
	else if ((why = check_text(&r->by, 1, sizeof e.by, e.by)))
		bad_field(u, "BAD_TEXT", "by", why);
	else if ((why = check_text(&r->note, 0, sizeof e.note, e.note)))
		bad_field(u, "BAD_TEXT", "note", why);
	rcptd__v1__create_exemption_request__free_unpacked(r, NULL);
	struct change *c = why ? NULL : change_new(u, false);
	if (!c)
		return;
	err_t err = store_exemption_create(engine_store(unary_api(u)->engine), &e, unary_loop(u), written, c);
	if (err)
		written(c, err, NULL);
}

static void revoke(struct unary *u, const uint8_t *msg, size_t len)
{
	Rcptd__V1__RevokeExemptionRequest *r = rcptd__v1__revoke_exemption_request__unpack(NULL, len, msg);
	if (!r) {
		malformed(u, "not a RevokeExemptionRequest");
		return;
	}
	char id[EXEMPTION_ID_MAX], by[EXEMPTION_BY_MAX + 1], note[EXEMPTION_NOTE_MAX + 1];
	text_copy(id, sizeof id, r->id);
	const char *why = NULL;
	if (!r->id[0])
		bad_field(u, "BAD_ID", "id", why = "required");
	else if ((why = check_text(&r->by, 1, sizeof by, by)))
		bad_field(u, "BAD_TEXT", "by", why);
	else if ((why = check_text(&r->note, 0, sizeof note, note)))
		bad_field(u, "BAD_TEXT", "note", why);
	bool too_long = strlen(r->id) >= sizeof id;
	rcptd__v1__revoke_exemption_request__free_unpacked(r, NULL);
	struct change *c = why ? NULL : change_new(u, true);
	if (!c)
		return;
	err_t err = too_long ? ERR_NOT_FOUND
			     : store_exemption_revoke(
				       engine_store(unary_api(u)->engine), id, by, note, unary_loop(u), written, c);
	if (err)
		written(c, err, NULL);
}

static void check(struct unary *u, const uint8_t *msg, size_t len)
{
	Rcptd__V1__CheckExemptionRequest *r = rcptd__v1__check_exemption_request__unpack(NULL, len, msg);
	if (!r) {
		malformed(u, "not a CheckExemptionRequest");
		return;
	}
	char domain[DOMAIN_SIZE];
	struct address address;
	const char *why = NULL;
	if (r->subject.len && memchr(r->subject.data, '@', r->subject.len)) {
		err_t err = address_parse(r->subject.data, r->subject.len, &address, &why);
		if (!err)
			text_copy(domain, sizeof domain, address.domain);
		else if (err != ERR_INVALID)
			why = err_text(err);
	} else {
		why = check_domain(&r->subject, domain);
	}
	rcptd__v1__check_exemption_request__free_unpacked(r, NULL);
	if (why) {
		bad_field(u, "BAD_SUBJECT", "subject", why);
		return;
	}
	struct exemption e;
	struct shown_exemption shown;
	Rcptd__V1__CheckExemptionResponse answer = RCPTD__V1__CHECK_EXEMPTION_RESPONSE__INIT;
	err_t err = store_exemption_covering(engine_store(unary_api(u)->engine), domain, &e);
	if (err && err != ERR_NOT_FOUND) {
		unary_fail_err(u, err);
		return;
	}
	answer.exempt = !err;
	answer.exemption = err ? NULL : show(&shown, &e);
	unary_reply(u, &answer.base);
}

struct page {
	struct exemption *e;
	char last[POSITION_SIZE];
	size_t count, size;
	bool revoked, more;
	err_t err;
};

static bool add_to_page(void *ctx, const struct exemption *e, const char *position)
{
	struct page *p = ctx;
	if (e->revoked_ms && !p->revoked)
		return true;
	if (p->count == p->size) {
		p->more = true;
		return false;
	}
	p->e[p->count++] = *e;
	text_copy(p->last, sizeof p->last, position);
	return true;
}

static void reply_page(struct unary *u, struct page *p)
{
	Rcptd__V1__ListExemptionsResponse r = RCPTD__V1__LIST_EXEMPTIONS_RESPONSE__INIT;
	struct shown_exemption *shown = calloc(p->count + 1, sizeof *shown);
	Rcptd__V1__Exemption **list = calloc(p->count + 1, sizeof(*list));
	if (!shown || !list) {
		unary_fail_err(u, ERR_NOMEM);
	} else {
		for (size_t i = 0; i < p->count; i++)
			list[i] = show(&shown[i], &p->e[i]);
		r.exemptions = list;
		r.n_exemptions = p->count;
		if (p->more)
			r.next_page_token = p->last;
		unary_reply(u, &r.base);
	}
	free(shown);
	free(list);
}

static void list(struct unary *u, const uint8_t *msg, size_t len)
{
	Rcptd__V1__ListExemptionsRequest *r = rcptd__v1__list_exemptions_request__unpack(NULL, len, msg);
	if (!r) {
		malformed(u, "not a ListExemptionsRequest");
		return;
	}
	char within[DOMAIN_SIZE] = "";
	const char *why = r->domain.len ? check_domain(&r->domain, within) : NULL;
	struct page p = { .size = r->page_size ? r->page_size : PAGE_DEFAULT, .revoked = r->include_revoked };
	if (why) {
		bad_field(u, "BAD_DOMAIN", "domain", why);
	} else if (p.size > PAGE_MAX) {
		bad_field(u, "BAD_PAGE_SIZE", "page_size", "at most 1,000");
	} else if (strlen(r->page_token) >= POSITION_SIZE) {
		bad_field(u, "BAD_PAGE_TOKEN", "page_token", "not one that was given out");
	} else if (!(p.e = calloc(p.size, sizeof *p.e))) {
		unary_fail_err(u, ERR_NOMEM);
	} else {
		err_t err = store_exemption_walk(
			engine_store(unary_api(u)->engine), r->page_token, within, add_to_page, &p);
		if (err == ERR_INVALID)
			bad_field(u, "BAD_PAGE_TOKEN", "page_token", "not one that was given out");
		else if (err)
			unary_fail_err(u, err);
		else
			reply_page(u, &p);
	}
	free(p.e);
	rcptd__v1__list_exemptions_request__free_unpacked(r, NULL);
}

const struct unary_method EXEMPTION_METHODS[] = {
	{ "/rcptd.v1.ExemptionService/CreateExemption", create },
	{ "/rcptd.v1.ExemptionService/CheckExemption", check },
	{ "/rcptd.v1.ExemptionService/ListExemptions", list },
	{ "/rcptd.v1.ExemptionService/RevokeExemption", revoke },
	{ 0 },
};
