#include "server/api/stats.h"

#include "server/api/internal.h"
#include "server/api/result.h"
#include "server/base/clock.h"
#include "server/stats/stats.h"

static void count_answers(struct stats_message *m)
{
	Rcptd__V1__GetStatsResponse *r = &m->message;
	uint64_t by_verdict[VERDICTS] = { 0 };
	for (int i = REASON_NONE + 1; i < REASONS; i++) {
		uint64_t n = (uint64_t)stat_answers_by_reason((unsigned)i);
		if (!n)
			continue;
		m->answers += n;
		by_verdict[reason_verdict((enum reason)i)] += n;
		Rcptd__V1__ReasonCount *c = &m->reasons[r->n_reasons];
		rcptd__v1__reason_count__init(c);
		c->reason = (Rcptd__V1__Reason)i;
		c->count = n;
		m->reason_at[r->n_reasons++] = c;
	}
	for (int i = 0; i < VERDICTS; i++) {
		if (!by_verdict[i])
			continue;
		Rcptd__V1__VerdictCount *c = &m->verdicts[r->n_verdicts];
		rcptd__v1__verdict_count__init(c);
		c->verdict = result_verdict((enum verdict)i);
		c->count = by_verdict[i];
		m->verdict_at[r->n_verdicts++] = c;
	}
	for (int i = 0; i < PHASES; i++) {
		uint64_t n = (uint64_t)stat_answers_by_phase((unsigned)i);
		if (!n)
			continue;
		Rcptd__V1__PhaseCount *c = &m->phases[r->n_phases];
		rcptd__v1__phase_count__init(c);
		c->phase = (Rcptd__V1__Phase)i;
		c->count = n;
		m->phase_at[r->n_phases++] = c;
	}
	r->reasons = m->reason_at;
	r->verdicts = m->verdict_at;
	r->phases = m->phase_at;
}

void stats_fill(struct stats_message *m)
{
	Rcptd__V1__GetStatsResponse *r = &m->message;
	rcptd__v1__get_stats_response__init(r);
	m->answers = 0;
	count_answers(m);
	r->start_time = result_time(&m->start, stat_start_wall_ms());
	r->uptime = result_duration(&m->uptime, clock_wall_ms() - stat_start_wall_ms());
	r->addresses = (uint64_t)stat_get(STAT_ADDRESSES);
	r->cache_hits = (uint64_t)stat_get(STAT_CACHE_HITS);
	r->cache_misses = (uint64_t)stat_get(STAT_CACHE_MISSES);
	r->connections = (uint64_t)stat_get(STAT_CONNECTIONS);
	r->recipients_asked = (uint64_t)stat_get(STAT_RECIPIENTS);
	r->unclassified_replies = (uint64_t)stat_get(STAT_UNCLASSIFIED_REPLIES);
	r->dns_queries = (uint64_t)stat_get(STAT_DNS_QUERIES);
	r->sessions_open = (uint64_t)stat_get(STAT_SESSIONS_OPEN);
	r->addresses_waiting = (uint64_t)stat_get(STAT_ADDRESSES_WAITING);
	r->permits_held = (uint64_t)stat_get(STAT_PERMITS);
	r->calls_open = (uint64_t)stat_get(STAT_CALLS_OPEN);
}

static void get_stats(struct unary *u, const uint8_t *msg, size_t len)
{
	Rcptd__V1__GetStatsRequest *request = rcptd__v1__get_stats_request__unpack(NULL, len, msg);
	if (!request) {
		unary_fail(u, RPC_INVALID_ARGUMENT, "MALFORMED", "not a GetStatsRequest", NULL);
		return;
	}
	rcptd__v1__get_stats_request__free_unpacked(request, NULL);
	struct stats_message m;
	stats_fill(&m);
	unary_reply(u, &m.message.base);
}

const struct unary_method STATS_METHODS[] = {
	{ "/rcptd.v1.StatsService/GetStats", get_stats },
	{ 0 },
};
