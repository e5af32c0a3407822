/* Messages of bytes and numbers: cursor/continuation.py. */

#include "core.h"

#define LARGEST_FIELD ((1 << 29) - 1)

static char *put_varint(char *to, unsigned long long number)
{
    for (; number > 0x7F; number >>= 7)
        *to++ = (char)((number & 0x7F) | 0x80);
    *to++ = (char)number;
    return to;
}

/* Puts a field behind the others; 0 if it is none of the usual ones, -1 with an error. */
static int put_field(Buffer *out, unsigned long long number, PyObject *value)
{
    int is_bytes = PyBytes_CheckExact(value);
    unsigned long long head = is_bytes ? (unsigned long long)PyBytes_GET_SIZE(value) : 0;
    if (!is_bytes) {
        if (!PyLong_Check(value))
            return 0;
        head = PyLong_AsUnsignedLongLong(value);
        if (head == (unsigned long long)-1 && PyErr_Occurred()) {
            PyErr_Clear();
            return 0;
        }
    }
    Py_ssize_t size = is_bytes ? PyBytes_GET_SIZE(value) : 0;
    if (buffer_reserve(out, 20 + size) < 0)
        return -1;
    char *to = put_varint(out->bytes + out->size, number << 3 | (is_bytes ? 2 : 0));
    to = put_varint(to, head);
    if (is_bytes)
        memcpy(to, PyBytes_AS_STRING(value), (size_t)size);
    out->size = to + size - out->bytes;
    return 1;
}

/* fields, by ascending numbers */
static PyObject *encode_fields(PyObject *kept, PyObject *const *args, Py_ssize_t count, PyObject *names)
{
    if (names == NULL && count == 1 && PyDict_CheckExact(args[0])) {
        PyObject *key, *value, *made = NULL;
        Py_ssize_t at = 0;
        long last = 0;
        int done = 1;
        Buffer out;
        buffer_init(&out);
        while (done == 1 && PyDict_Next(args[0], &at, &key, &value)) {
            int overflow = 0;
            long number = PyLong_CheckExact(key) ? PyLong_AsLongAndOverflow(key, &overflow) : 0;
            if (overflow || number <= last || number > LARGEST_FIELD)
                done = 0;
            else if (value != Py_None)
                done = put_field(&out, (unsigned long long)number, value);
            last = number;
        }
        if (done == 1)
            made = PyBytes_FromStringAndSize(out.bytes, out.size);
        buffer_free(&out);
        if (done)
            return made;
    }
    return PyObject_Vectorcall(PyTuple_GET_ITEM(kept, 0), args, (size_t)count, names);
}

FUNCTION(encode_fields, "(fields)", 0, "A message of bytes and numbers.")
