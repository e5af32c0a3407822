"""Java's names stay out of protobuf's default pool, unless a program's own module asks for them.

Each case is a program of its own: the default pool of a process cannot be emptied.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from recordlayer.pb import record_metadata_options_pb2 as options
from recordlayer.pb.descriptor_pb2 import FileDescriptorProto
from recordlayer.pb.paths import imports_path
from recordlayer.pb.pool import descriptor_set
from tests.unit.keys import protos

ROOT = Path(__file__).resolve().parents[3]

SOURCE = """
    syntax = "proto2";
    package shop;
    import "record_metadata_options.proto";
    import "tuple_fields.proto";
    message Order { optional int64 id = 1; optional string customer = 2;
                    optional com.apple.foundationdb.record.UUID ref = 3; }
    message Records { optional Order _Order = 1; }
"""

# What protoc writes, without the check of its own version.
GENERATED = """
from google.protobuf import descriptor_pool as _descriptor_pool
from google.protobuf.internal import builder as _builder
{imports}
DESCRIPTOR = _descriptor_pool.Default().AddSerializedFile({data!r})
_globals = globals()
_builder.BuildMessageAndEnumDescriptors(DESCRIPTOR, _globals)
_builder.BuildTopDescriptorsAndMessages(DESCRIPTOR, {module!r}, _globals)
"""


def shop_file():
    """A user's file with annotations, as bytes."""
    file = FileDescriptorProto.FromString(protos.parse(SOURCE, name="shop.proto").SerializeToString())
    order, records = file.message_type
    order.field[0].options.Extensions[options.field].primary_key = True
    order.field[1].options.Extensions[options.field].index.unique = True
    order.field[2].options.Extensions[options.field].index.SetInParent()
    records.options.Extensions[options.record].usage = options.RecordTypeOptions.UNION
    return file.SerializeToString()


@pytest.fixture
def program(tmp_path):
    """Runs a program beside a generated module `shop_pb2`; what it prints."""
    imports = "import record_metadata_options_pb2\nimport tuple_fields_pb2"
    module = GENERATED.format(imports=imports, data=shop_file(), module="shop_pb2")
    (tmp_path / "shop_pb2.py").write_text(module)

    def run(source, *, thin=True):
        path = [str(ROOT), str(tmp_path), *([str(imports_path())] if thin else [])]
        (tmp_path / "program.py").write_text(f"import sys\nsys.path[:0] = {path!r}\n{source}")
        ran = subprocess.run(
            [sys.executable, "-W", "error", str(tmp_path / "program.py")], capture_output=True, text=True, check=False
        )
        assert ran.returncode == 0, ran.stderr
        return ran.stdout.split()

    def own_copies(*, changed):
        """Modules of the program's own for Java's files, in its directory."""
        for file in descriptor_set().file:
            if changed and file.name == "tuple_fields.proto":
                file.message_type.add(name="NullableNew")
            names = [name.replace(".proto", "_pb2") for name in file.dependency if not name.startswith("google/")]
            imports = "from google.protobuf import descriptor_pb2, any_pb2\n"
            imports += "".join(f"import {name}\n" for name in names)
            module = file.name.replace(".proto", "_pb2")
            text = GENERATED.format(imports=imports, data=file.SerializeToString(), module=module)
            (tmp_path / f"{module}.py").write_text(text)

    run.own_copies = own_copies
    return run


USE = """
from recordlayer.metadata import RecordMetaData, RecordMetaDataBuilder
metadata = RecordMetaDataBuilder(shop_pb2.DESCRIPTOR).build()
print(*metadata.indexes, metadata.index("Order$customer").unique, metadata.record_type("Order").primary_key.name)
order = shop_pb2.Order(id=1)
order.ref.most_significant_bits = 1
stored = RecordMetaData.from_bytes(metadata.to_bytes(), local=shop_pb2)
print(type(stored.open_envelope(metadata.envelope(order))[1]) is shop_pb2.Order)
print(metadata.index("Order$ref").root_expression.evaluate(order)[0][0].hex)
"""
SAID = ["Order$customer", "Order$ref", "True", "id", "True", "00000000000000010000000000000000"]


def test_the_library_puts_nothing_into_the_default_pool(program):
    source = """
from google.protobuf import descriptor_pool
import recordlayer, recordlayer.metadata, recordlayer.keys.serial, recordlayer.store.header
from recordlayer.pb import index_build_pb2, keyspace_pb2, record_cursor_pb2, record_metadata_options_pb2
for name in ("record_metadata.proto", "record_metadata_options.proto", "tuple_fields.proto", "index_build.proto"):
    try:
        descriptor_pool.Default().FindFileByName(name)
    except KeyError:
        print("absent")
"""
    assert program(source) == ["absent"] * 4


def test_a_file_that_imports_java_s_options_loads_with_our_modules(program):
    assert program("import shop_pb2" + USE) == SAID


def test_our_modules_are_as_good_as_generated_ones(program):
    source = """
import shop_pb2
import record_metadata_options_pb2 as options, record_metadata_pb2, record_key_expression_pb2, tuple_fields_pb2
field = shop_pb2.Order.DESCRIPTOR.fields_by_name["id"]
print(field.GetOptions().Extensions[options.field].primary_key, options.FIELD_FIELD_NUMBER)
print(record_metadata_pb2.Index.Type.Name(record_metadata_pb2.Index.RANK))
print(record_metadata_pb2.ComparisonType.Value("IS_NULL"))
print(tuple_fields_pb2.UUID(most_significant_bits=5).most_significant_bits, record_metadata_pb2.EQUALS)
print(record_key_expression_pb2.DESCRIPTOR.name)
"""
    assert program(source) == ["True", "1233", "RANK", "9", "5", "1", "record_key_expression.proto"]


@pytest.mark.parametrize("changed", [False, True], ids=["equal", "newer"])
@pytest.mark.parametrize("order", ["before", "after"])
def test_a_program_may_have_its_own_copies(program, changed, order):
    program.own_copies(changed=changed)
    load = "import shop_pb2"
    library = "import recordlayer.metadata, recordlayer.keys.serial\nfrom recordlayer.pb import record_metadata_pb2\n"
    source = f"{load}\n{library}" if order == "before" else f"{library}\n{load}"
    assert program(source + USE, thin=False) == SAID


def test_a_copy_that_is_registered_already_is_taken_as_it_is(program):
    program.own_copies(changed=True)
    source = """
import tuple_fields_pb2 as own
sys.path[:0] = [sys.path.pop()]
del sys.modules["tuple_fields_pb2"]
import tuple_fields_pb2 as ours
print(ours is own, ours.DESCRIPTOR is own.DESCRIPTOR, ours.NullableNew is own.NullableNew)
import shop_pb2
"""
    assert program(source + USE) == ["False", "True", "True", *SAID]


def test_both_implementations_of_protobuf_will_do(program, monkeypatch):
    monkeypatch.setenv("PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION", "python")
    assert program("import shop_pb2" + USE) == SAID
