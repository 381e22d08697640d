#include "server/api/result.h"

#include <string.h>

/* The enums of the messages have the numbers of ours, where both have names. */
#define SAME(name, verdict)                                                                                            \
	_Static_assert((int)RCPTD__V1__REASON__REASON_##name == (int)REASON_##name, "a reason's number");
#define RCPTD__V1__REASON__REASON_NONE RCPTD__V1__REASON__REASON_UNSPECIFIED
REASON_MAP(SAME)
#undef SAME
_Static_assert((int)RCPTD__V1__PHASE__PHASE_RCPT == (int)PHASE_RCPT, "phases");
_Static_assert((int)RCPTD__V1__PHASE__PHASE_DNS == (int)PHASE_DNS, "phases");

Rcptd__V1__Verdict result_verdict(enum verdict v)
{
	switch (v) {
	case VERDICT_DELIVERABLE: return RCPTD__V1__VERDICT__VERDICT_DELIVERABLE;
	case VERDICT_UNDELIVERABLE: return RCPTD__V1__VERDICT__VERDICT_UNDELIVERABLE;
	case VERDICT_RISKY: return RCPTD__V1__VERDICT__VERDICT_RISKY;
	case VERDICT_UNKNOWN:
	case VERDICTS: break;
	}
	return RCPTD__V1__VERDICT__VERDICT_UNKNOWN;
}

Rcptd__V1__CatchAll result_catch_all(enum catch_all c)
{
	switch (c) {
	case CATCH_ALL_YES: return RCPTD__V1__CATCH_ALL__CATCH_ALL_YES;
	case CATCH_ALL_NO: return RCPTD__V1__CATCH_ALL__CATCH_ALL_NO;
	case CATCH_ALL_NOT_KNOWN: break;
	}
	return RCPTD__V1__CATCH_ALL__CATCH_ALL_UNKNOWN;
}

static Rcptd__V1__ControlOutcome outcome(enum control c)
{
	switch (c) {
	case CONTROL_ACCEPTED: return RCPTD__V1__CONTROL_OUTCOME__CONTROL_OUTCOME_ACCEPTED;
	case CONTROL_TEMPORARY: return RCPTD__V1__CONTROL_OUTCOME__CONTROL_OUTCOME_TEMPORARY;
	case CONTROL_REFUSED: return RCPTD__V1__CONTROL_OUTCOME__CONTROL_OUTCOME_REFUSED;
	case CONTROL_NOT_ASKED: break;
	}
	return RCPTD__V1__CONTROL_OUTCOME__CONTROL_OUTCOME_NOT_ASKED;
}

Google__Protobuf__Timestamp *result_time(Google__Protobuf__Timestamp *t, int64_t wall_ms)
{
	google__protobuf__timestamp__init(t);
	t->seconds = wall_ms / 1000;
	t->nanos = (int32_t)(wall_ms % 1000) * 1000000;
	return t;
}

Google__Protobuf__Duration *result_duration(Google__Protobuf__Duration *d, int64_t ms)
{
	google__protobuf__duration__init(d);
	d->seconds = ms / 1000;
	d->nanos = (int32_t)(ms % 1000) * 1000000;
	return d;
}

static void fill_tls(Rcptd__V1__TlsSession *m, const struct tls_info *tls)
{
	rcptd__v1__tls_session__init(m);
	m->version = (char *)tls->version;
	m->cipher = (char *)tls->cipher;
	m->resumed = tls->resumed;
	m->certificate_sha256 = (char *)tls->certificate_sha256;
	m->certificate_subject.data = (uint8_t *)tls->certificate_subject;
	m->certificate_subject.len = strlen(tls->certificate_subject);
}

static void fill_evidence(struct result *r, const struct evidence *e)
{
	Rcptd__V1__Evidence *m = &r->evidence;
	rcptd__v1__evidence__init(m);
	m->phase = (Rcptd__V1__Phase)e->phase;
	m->mail_host = (char *)e->mail_host;
	m->mail_ip = (char *)e->mail_ip;
	m->source_ip = (char *)e->source_ip;
	m->code = e->code;
	m->enhanced = (char *)e->enhanced;
	m->text.data = (uint8_t *)e->text;
	m->text.len = strlen(e->text);
	m->rule = (char *)e->rule;
	m->random_control = outcome(e->random);
	m->postmaster_control = outcome(e->postmaster);
	m->attempt = e->attempt;
	m->contact_begun = e->contact_begun;
	if (*e->tls.version) {
		fill_tls(&r->tls, &e->tls);
		m->tls = &r->tls;
	}
	if (e->time_ms)
		m->time = result_time(&r->time, e->time_ms);
}

void result_fill(struct result *r, uint64_t id, const uint8_t *given, size_t given_len, const struct address *address,
	const struct answer *a)
{
	Rcptd__V1__Result *m = &r->message;
	rcptd__v1__result__init(m);
	m->id = id;
	m->address.data = (uint8_t *)given;
	m->address.len = given_len < ADDRESS_MAX ? given_len : ADDRESS_MAX;
	m->verdict = result_verdict(reason_verdict(a->reason));
	m->reason = (Rcptd__V1__Reason)a->reason;
	m->operator_ = (char *)a->operator_name;
	m->catch_all = result_catch_all(a->catch_all);
	m->from_cache = a->from_cache;
	m->attempts = a->attempts;
	if (a->from_cache)
		m->age = result_duration(&r->age, a->age_ms > 0 ? a->age_ms : 0);
	if (a->retry_after_ms >= 0)
		m->retry_after = result_duration(&r->retry_after, a->retry_after_ms);
	if (address) {
		m->domain = (char *)address->domain;
		r->hints = hints_of(address);
		m->role = r->hints.role;
		m->disposable = r->hints.disposable;
		m->free_provider = r->hints.free;
		m->suggestion = r->hints.suggestion;
	}
	fill_evidence(r, &a->evidence);
	m->evidence = &r->evidence;
}
