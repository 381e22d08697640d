#include "server/address/text.h"

#include <unictype.h>
#include <unistr.h>

struct span text_trim(struct span s)
{
	while (s.n && (s.at[0] == ' ' || s.at[0] == '\t')) {
		s.at++;
		s.n--;
	}
	while (s.n && (s.at[s.n - 1] == ' ' || s.at[s.n - 1] == '\t'))
		s.n--;
	return s;
}

/* Two addresses that look alike must not differ by what cannot be seen, and none may change how the line around it
 * reads: no format characters (zero width, bidi, tags), separators, non-characters; U+FFFD is what remains of text that
 * somebody could not decode. ZWNJ and ZWJ are letters' business in some scripts: IDNA's context rules judge them in a
 * domain (domain.c); a local part has no such rule. */
static const char *character_refusal(ucs4_t c)
{
	if (c == 0)
		return "a NUL is not allowed";
	if (c == '\r' || c == '\n')
		return "a line break is not allowed";
	if (c < 0x20 || (c >= 0x7f && c < 0xa0))
		return "a control character is not allowed";
	if (c < 0x80)
		return NULL;
	if (c == 0xfffd)
		return "it holds U+FFFD: the text was damaged before it came here";
	if ((c & 0xfffe) == 0xfffe || (c >= 0xfdd0 && c <= 0xfdef))
		return "a code point that is no character is not allowed";
	if (uc_is_property_default_ignorable_code_point(c) || uc_is_general_category(c, UC_CATEGORY_Cf))
		return "an invisible or direction-changing character is not allowed";
	if (uc_is_general_category(c, UC_CATEGORY_Z))
		return "a space or separator is not allowed";
	return NULL;
}

const char *text_refusal(struct span s)
{
	for (size_t i = 0; i < s.n;) {
		ucs4_t c;
		int used = u8_mbtoucr(&c, s.at + i, s.n - i);
		if (used <= 0)
			return "it is not valid UTF-8";
		const char *why = character_refusal(c);
		if (why)
			return why;
		i += (size_t)used;
	}
	return NULL;
}

bool text_is_ascii(struct span s)
{
	for (size_t i = 0; i < s.n; i++)
		if (s.at[i] >= 0x80)
			return false;
	return true;
}
