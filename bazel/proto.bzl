"""protobuf-c code for .proto files, as a cc_library."""

def c_proto_library(name, srcs, deps = [], **kwargs):
    """One library for the .proto files `srcs` of this package (below proto/), imported by their path from proto/.

    deps: other c_proto_library targets whose files are imported."""
    stems = [s[:-len(".proto")] for s in srcs]
    native.filegroup(
        name = name + "_protos",
        srcs = srcs + [d + "_protos" for d in deps],
        visibility = ["//visibility:public"],
    )
    native.genrule(
        name = name + "_gen",
        srcs = [name + "_protos"],
        outs = [s + ".pb-c.c" for s in stems] + [s + ".pb-c.h" for s in stems],
        cmd = "protoc-c --proto_path=proto --proto_path=/usr/include --c_out=$(GENDIR)/proto " +
              " ".join(["%s/%s" % (native.package_name(), s) for s in srcs]),
    )
    native.cc_library(
        name = name,
        srcs = [s + ".pb-c.c" for s in stems],
        hdrs = [s + ".pb-c.h" for s in stems],
        strip_include_prefix = "/proto",  # how the generated code includes
        copts = ["-Wno-error"],  # generated
        deps = deps + ["@system//:libprotobuf-c"],
        **kwargs
    )
