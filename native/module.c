/* The module recordlayer._core. recordlayer/core.py says when it is used. */

#include "core.h"

#define REVISION 15 /* what recordlayer/core.py wants: both change when a function comes, goes or is called otherwise */

int buffer_grow(Buffer *buffer, Py_ssize_t more)
{
    if (more > PY_SSIZE_T_MAX / 2 - buffer->size) {
        PyErr_NoMemory();
        return -1;
    }
    Py_ssize_t room = 2 * buffer->room;
    if (room < buffer->size + more)
        room = buffer->size + more;
    char *bytes = PyMem_Realloc(buffer->bytes == buffer->few ? NULL : buffer->bytes, (size_t)room);
    if (bytes == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    if (buffer->bytes == buffer->few)
        memcpy(bytes, buffer->few, (size_t)buffer->size);
    buffer->bytes = bytes;
    buffer->room = room;
    return 0;
}

PyObject *closure(PyMethodDef *method, PyObject *kept)
{
    if (kept == NULL)
        return NULL;
    PyObject *made = PyCFunction_NewEx(method, kept, NULL);
    Py_DECREF(kept);
    return made;
}

#define METHOD(name) {#name, (PyCFunction)(void (*)(void))name, METH_FASTCALL, name##_doc}

static PyMethodDef methods[] = {
    METHOD(make_pack),
    METHOD(make_entries),
    METHOD(make_changed),
    METHOD(make_encode_fields),
    METHOD(make_step),
    METHOD(make_unpack),
    METHOD(make_rows),
    METHOD(make_runs),
    METHOD(make_tuples),
    METHOD(make_rests),
    METHOD(make_open_all),
    METHOD(make_forward),
    METHOD(make_backward),
    METHOD(make_each_chunk),
    METHOD(make_usual_keys),
    METHOD(make_look),
    METHOD(make_keys_between),
    METHOD(make_add_range),
    METHOD(make_bytes_until),
    METHOD(make_counted),
    METHOD(make_lay),
    METHOD(make_note_reads),
    METHOD(make_replace_each),
    METHOD(make_united),
    METHOD(make_shared),
    METHOD(make_bytes_of),
    METHOD(make_record_bytes),
    {NULL, NULL, 0, NULL},
};

static int prepare(PyObject *module)
{
    return PyModule_AddIntConstant(module, "REVISION", REVISION);
}

static PyModuleDef_Slot slots[] = {
    {Py_mod_exec, prepare},
#if PY_VERSION_HEX >= 0x030C0000
    {Py_mod_multiple_interpreters, Py_MOD_PER_INTERPRETER_GIL_SUPPORTED},
#endif
    {0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "recordlayer._core",
    .m_doc = "Functions of recordlayer in C. Each is made from the Python function that it stands for.",
    .m_size = 0,
    .m_methods = methods,
    .m_slots = slots,
};

PyMODINIT_FUNC PyInit__core(void)
{
    return PyModuleDef_Init(&definition);
}
