"""A file's bytes as a C object: `extern const unsigned char NAME[]; extern const size_t NAME_size;`."""

def embed(name, src, header, symbol, **kwargs):
    native.genrule(
        name = name + "_gen",
        srcs = [src],
        outs = [symbol + ".embed.c", header],
        cmd = """
set -e
{ echo '#include <stddef.h>'
  echo 'const unsigned char %s[] = {'
  od -An -v -tx1 $(location %s) | sed 's/ \\([0-9a-f][0-9a-f]\\)/0x\\1,/g'
  echo '0};'
  echo 'const size_t %s_size = sizeof %s - 1;'
} > $(RULEDIR)/%s.embed.c
{ echo '#pragma once'
  echo '/* %s, compiled in; a NUL follows the last byte and is not counted. */'
  echo '#include <stddef.h>'
  echo 'extern const unsigned char %s[];'
  echo 'extern const size_t %s_size;'
} > $(RULEDIR)/%s
""" % (symbol, src, symbol, symbol, symbol, src.split(":")[-1].split("/")[-1], symbol, symbol, header),
    )
    native.cc_library(name = name, srcs = [symbol + ".embed.c"], hdrs = [header], **kwargs)
