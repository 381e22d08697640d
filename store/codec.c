#include "store/codec.h"

#include <stdlib.h>
#include <string.h>

bool codec_text(char *to, size_t size, const char *from)
{
	size_t n = strlen(from);
	if (n >= size)
		return false;
	memcpy(to, from, n + 1);
	return true;
}

/* ---- routes ---- */

const ProtobufCMessage *route_encode(const struct route *route, struct route_parts *p)
{
	rcptd__store__v1__route_record__init(&p->record);
	p->record.status = route->status;
	p->record.implicit = route->implicit;
	p->record.learned_ms = route->learned_ms;
	p->record.expires_ms = route->expires_ms;
	p->record.n_hosts = route->host_count;
	p->record.hosts = p->hosts;
	for (size_t i = 0; i < route->host_count; i++) {
		const struct route_host *from = &route->host[i];
		Rcptd__Store__V1__RouteHost *to = p->hosts[i] = &p->host[i];
		rcptd__store__v1__route_host__init(to);
		to->name = (char *)from->name;
		to->preference = from->preference;
		to->status = from->status;
		to->n_addresses =
			from->address_count <= ROUTE_ADDRESSES_MAX ? from->address_count : ROUTE_ADDRESSES_MAX;
		to->addresses = p->address[i];
		for (size_t a = 0; a < to->n_addresses; a++) {
			p->address[i][a].len = from->address[a].v6 ? 16 : 4;
			p->address[i][a].data = (uint8_t *)from->address[a].bytes;
		}
	}
	return &p->record.base;
}

static bool host_decode(const Rcptd__Store__V1__RouteHost *from, struct route_host *to)
{
	if (!codec_text(to->name, sizeof to->name, from->name) || from->n_addresses > ROUTE_ADDRESSES_MAX ||
		from->preference > UINT16_MAX || from->status > ROUTE_FAILURE)
		return false;
	to->preference = (uint16_t)from->preference;
	to->status = (enum route_status)from->status;
	to->address_count = (uint8_t)from->n_addresses;
	for (size_t a = 0; a < from->n_addresses; a++) {
		const ProtobufCBinaryData *bytes = &from->addresses[a];
		if (bytes->len != 4 && bytes->len != 16)
			return false;
		to->address[a].v6 = bytes->len == 16;
		memcpy(to->address[a].bytes, bytes->data, bytes->len);
	}
	return true;
}

err_t route_decode(const MDB_val *value, void *out)
{
	Rcptd__Store__V1__RouteRecord *r = rcptd__store__v1__route_record__unpack(NULL, value->mv_size, value->mv_data);
	if (!r)
		return ERR_CORRUPT;
	bool ok = r->n_hosts <= ROUTE_HOSTS_MAX && r->status > ROUTE_UNSET && r->status <= ROUTE_FAILURE;
	struct route *route = ok ? calloc(1, route_size((unsigned)r->n_hosts)) : NULL;
	err_t err = !ok ? ERR_CORRUPT : !route ? ERR_NOMEM : ERR_OK;
	if (route) {
		route->status = (enum route_status)r->status;
		route->implicit = r->implicit;
		route->learned_ms = r->learned_ms;
		route->expires_ms = r->expires_ms;
		route->host_count = (uint8_t)r->n_hosts;
	}
	for (size_t i = 0; !err && i < r->n_hosts; i++)
		if (!host_decode(r->hosts[i], &route->host[i]))
			err = ERR_CORRUPT;
	rcptd__store__v1__route_record__free_unpacked(r, NULL);
	if (err)
		free(route);
	else
		*(struct route **)out = route;
	return err;
}

/* ---- verdicts ---- */

const ProtobufCMessage *verdict_encode(const struct verdict_fact *f, Rcptd__Store__V1__VerdictRecord *r)
{
	rcptd__store__v1__verdict_record__init(r);
	r->reason = (char *)reason_name(f->reason);
	r->operator_ = (char *)f->operator_name;
	r->mail_host = (char *)f->mail_host;
	r->mail_ip = (char *)f->mail_ip;
	r->source_ip = (char *)f->source_ip;
	r->phase = f->phase;
	r->code = f->code;
	r->enhanced = (char *)f->enhanced;
	r->text = (ProtobufCBinaryData){ strnlen(f->text, sizeof f->text - 1), (uint8_t *)f->text };
	r->rule = (char *)f->rule;
	r->learned_ms = f->learned_ms;
	r->expires_ms = f->expires_ms;
	r->attempt = f->attempt;
	r->attempts = f->attempts;
	r->random_control = f->random_control;
	r->postmaster_control = f->postmaster_control;
	r->catch_all = f->catch_all;
	const struct tls_info *tls = &f->tls;
	r->tls_version = (char *)tls->version;
	r->tls_cipher = (char *)tls->cipher;
	r->tls_resumed = tls->resumed;
	r->tls_certificate_sha256 = (char *)tls->certificate_sha256;
	r->tls_certificate_subject =
		(ProtobufCBinaryData){ strnlen(tls->certificate_subject, sizeof tls->certificate_subject - 1),
			(uint8_t *)tls->certificate_subject };
	return &r->base;
}

static bool verdict_texts(const Rcptd__Store__V1__VerdictRecord *r, struct verdict_fact *f)
{
	if (r->text.len >= sizeof f->text)
		return false;
	if (r->text.len)
		memcpy(f->text, r->text.data, r->text.len);
	f->text[r->text.len] = 0;
	return codec_text(f->operator_name, sizeof f->operator_name, r->operator_) &&
	       codec_text(f->mail_host, sizeof f->mail_host, r->mail_host) &&
	       codec_text(f->mail_ip, sizeof f->mail_ip, r->mail_ip) &&
	       codec_text(f->source_ip, sizeof f->source_ip, r->source_ip) &&
	       codec_text(f->enhanced, sizeof f->enhanced, r->enhanced) && codec_text(f->rule, sizeof f->rule, r->rule);
}

static bool verdict_tls(const Rcptd__Store__V1__VerdictRecord *r, struct tls_info *tls)
{
	const ProtobufCBinaryData *subject = &r->tls_certificate_subject;
	if (subject->len >= sizeof tls->certificate_subject)
		return false;
	if (subject->len)
		memcpy(tls->certificate_subject, subject->data, subject->len);
	tls->certificate_subject[subject->len] = 0;
	tls->resumed = r->tls_resumed;
	return codec_text(tls->version, sizeof tls->version, r->tls_version) &&
	       codec_text(tls->cipher, sizeof tls->cipher, r->tls_cipher) &&
	       codec_text(tls->certificate_sha256, sizeof tls->certificate_sha256, r->tls_certificate_sha256);
}

err_t verdict_decode(const MDB_val *value, void *out)
{
	struct verdict_fact *f = out;
	Rcptd__Store__V1__VerdictRecord *r =
		rcptd__store__v1__verdict_record__unpack(NULL, value->mv_size, value->mv_data);
	if (!r)
		return ERR_CORRUPT;
	bool ok = verdict_texts(r, f) && verdict_tls(r, &f->tls) && r->phase < PHASES && r->code <= 999 &&
		  r->random_control <= UINT8_MAX && r->postmaster_control <= UINT8_MAX && r->catch_all <= CATCH_ALL_NO;
	f->reason = reason_named(r->reason);
	f->phase = (enum phase)r->phase;
	f->catch_all = (enum catch_all)r->catch_all;
	f->random_control = (uint8_t)r->random_control;
	f->postmaster_control = (uint8_t)r->postmaster_control;
	f->code = (uint16_t)r->code;
	f->attempt = r->attempt;
	f->attempts = r->attempts;
	f->learned_ms = r->learned_ms;
	f->expires_ms = r->expires_ms;
	rcptd__store__v1__verdict_record__free_unpacked(r, NULL);
	if (!ok)
		return ERR_CORRUPT;
	return f->reason == REASON_NONE ? ERR_NOT_FOUND : ERR_OK;
}
