"""A unit test with cmocka."""

def unit_test(name, deps, srcs = None, size = "small", **kwargs):
    native.cc_test(
        name = name,
        srcs = srcs or [name + ".c"],
        size = size,
        deps = deps + ["@system//:cmocka"],
        **kwargs
    )
