#include "server/stats/stats.h"

#include "proto/rcptd/v1/stats.pb-c.h"
#include "server/api/internal.h"
#include "server/api/result.h"
#include "server/base/clock.h"
#include "server/verdict/verdict.h"

static void get_stats(struct unary *u, const uint8_t *msg, size_t len)
{
	Rcptd__V1__GetStatsRequest *request = rcptd__v1__get_stats_request__unpack(NULL, len, msg);
	if (!request) {
		unary_fail(u, RPC_INVALID_ARGUMENT, "MALFORMED", "not a GetStatsRequest", NULL);
		return;
	}
	rcptd__v1__get_stats_request__free_unpacked(request, NULL);
	Rcptd__V1__VerdictCount verdicts[VERDICTS], *verdict_at[VERDICTS];
	Rcptd__V1__ReasonCount reasons[REASONS], *reason_at[REASONS];
	Rcptd__V1__PhaseCount phases[PHASES], *phase_at[PHASES];
	uint64_t by_verdict[VERDICTS] = { 0 };
	Google__Protobuf__Timestamp start;
	Google__Protobuf__Duration uptime;
	Rcptd__V1__GetStatsResponse r = RCPTD__V1__GET_STATS_RESPONSE__INIT;
	for (int i = REASON_NONE + 1; i < REASONS; i++) {
		uint64_t n = (uint64_t)stat_answers_by_reason((unsigned)i);
		if (!n)
			continue;
		by_verdict[reason_verdict((enum reason)i)] += n;
		rcptd__v1__reason_count__init(&reasons[r.n_reasons]);
		reasons[r.n_reasons].reason = (Rcptd__V1__Reason)i;
		reasons[r.n_reasons].count = n;
		reason_at[r.n_reasons] = &reasons[r.n_reasons];
		r.n_reasons++;
	}
	for (int i = 0; i < VERDICTS; i++) {
		if (!by_verdict[i])
			continue;
		rcptd__v1__verdict_count__init(&verdicts[r.n_verdicts]);
		verdicts[r.n_verdicts].verdict = result_verdict((enum verdict)i);
		verdicts[r.n_verdicts].count = by_verdict[i];
		verdict_at[r.n_verdicts] = &verdicts[r.n_verdicts];
		r.n_verdicts++;
	}
	for (int i = 0; i < PHASES; i++) {
		uint64_t n = (uint64_t)stat_answers_by_phase((unsigned)i);
		if (!n)
			continue;
		rcptd__v1__phase_count__init(&phases[r.n_phases]);
		phases[r.n_phases].phase = (Rcptd__V1__Phase)i;
		phases[r.n_phases].count = n;
		phase_at[r.n_phases] = &phases[r.n_phases];
		r.n_phases++;
	}
	r.reasons = reason_at;
	r.verdicts = verdict_at;
	r.phases = phase_at;
	r.start_time = result_time(&start, stat_start_wall_ms());
	r.uptime = result_duration(&uptime, clock_wall_ms() - stat_start_wall_ms());
	r.addresses = (uint64_t)stat_get(STAT_ADDRESSES);
	r.cache_hits = (uint64_t)stat_get(STAT_CACHE_HITS);
	r.cache_misses = (uint64_t)stat_get(STAT_CACHE_MISSES);
	r.connections = (uint64_t)stat_get(STAT_CONNECTIONS);
	r.recipients_asked = (uint64_t)stat_get(STAT_RECIPIENTS);
	r.unclassified_replies = (uint64_t)stat_get(STAT_UNCLASSIFIED_REPLIES);
	r.dns_queries = (uint64_t)stat_get(STAT_DNS_QUERIES);
	r.sessions_open = (uint64_t)stat_get(STAT_SESSIONS_OPEN);
	r.addresses_waiting = (uint64_t)stat_get(STAT_ADDRESSES_WAITING);
	r.permits_held = (uint64_t)stat_get(STAT_PERMITS);
	r.calls_open = (uint64_t)stat_get(STAT_CALLS_OPEN);
	unary_reply(u, &r.base);
}

const struct unary_method STATS_METHODS[] = {
	{ "/rcptd.v1.StatsService/GetStats", get_stats },
	{ 0 },
};
