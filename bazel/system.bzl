"""Libraries of the system, one cc_library per pkg-config module (or per plain library)."""

def _pkg_config(ctx, module, package, what):
    r = ctx.execute(["pkg-config", what, module])
    if r.return_code:
        fail("%s is missing: apt-get install %s" % (module, package))
    return [f for f in r.stdout.strip().split(" ") if f]

def _system_impl(ctx):
    build = ['package(default_visibility = ["//visibility:public"])']
    for module, package in ctx.attr.modules.items():
        cflags = _pkg_config(ctx, module, package, "--cflags")
        includes = []
        for flag in cflags:
            if flag.startswith("-I") and flag != "-I/usr/include":
                here = "include/%s/%d" % (module, len(includes))
                ctx.symlink(flag[2:], here)
                includes.append(here)
        build.append("cc_library(name = %r, hdrs = glob(%r), includes = %r, defines = %r, linkopts = %r)" % (
            module,
            [i + "/**" for i in includes],
            includes,
            [f[2:] for f in cflags if f.startswith("-D")],
            _pkg_config(ctx, module, package, "--libs"),
        ))
    for names, linked in [(ctx.attr.plain, True), (ctx.attr.headers, False)]:
        for library, package in names.items():
            if ctx.execute(["dpkg", "-s", package]).return_code:
                fail("%s is missing: apt-get install %s" % (library, package))
            build.append("cc_library(name = %r, linkopts = %r)" % (library, ["-l" + library] if linked else []))
    ctx.file("BUILD", "\n".join(build) + "\n")

system_libraries = repository_rule(
    implementation = _system_impl,
    attrs = {
        "modules": attr.string_dict(doc = "pkg-config module: Debian package"),
        "plain": attr.string_dict(doc = "library without a pkg-config module: Debian package"),
        "headers": attr.string_dict(doc = "header-only library: Debian package"),
    },
    local = True,  # asked again at every start: a package may have come or gone
)
