/* From values to packed tuples: tuples/packing.py. */

#include "core.h"

static int put_escaped(Buffer *out, unsigned char code, const char *text, Py_ssize_t size)
{
    if (size > PY_SSIZE_T_MAX / 4) {
        PyErr_NoMemory();
        return -1;
    }
    int escapes = memchr(text, 0, (size_t)size) != NULL;
    if (buffer_reserve(out, (escapes ? 2 * size : size) + 2) < 0)
        return -1;
    char *to = out->bytes + out->size;
    *to++ = (char)code;
    if (!escapes) {
        memcpy(to, text, (size_t)size);
        to += size;
    } else {
        for (Py_ssize_t at = 0; at < size; at++) {
            *to++ = text[at];
            if (text[at] == 0)
                *to++ = (char)0xFF;
        }
    }
    *to++ = 0;
    out->size = to - out->bytes;
    return 0;
}

static Outcome put_str(Buffer *out, PyObject *value)
{
    if (PyUnicode_IS_COMPACT_ASCII(value))
        return put_escaped(out, 0x02, (const char *)PyUnicode_1BYTE_DATA(value), PyUnicode_GET_LENGTH(value)) < 0
                   ? ELEMENT_FAILED
                   : ELEMENT_READ;
    /* Not PyUnicode_AsUTF8AndSize: it keeps a copy of the bytes in the caller's text. */
    PyObject *raw = PyUnicode_AsUTF8String(value);
    if (raw == NULL)
        return refused();
    int failed = put_escaped(out, 0x02, PyBytes_AS_STRING(raw), PyBytes_GET_SIZE(raw)) < 0;
    Py_DECREF(raw);
    return failed ? ELEMENT_FAILED : ELEMENT_READ;
}

static int put_int(Buffer *out, long long value)
{
    unsigned long long rest = value < 0 ? -(unsigned long long)value : (unsigned long long)value;
    int length = 0;
    while (length < 8 && rest >> (8 * length))
        length++;
    if (buffer_reserve(out, 9) < 0)
        return -1;
    unsigned char *to = (unsigned char *)out->bytes + out->size;
    *to++ = (unsigned char)(value < 0 ? 0x14 - length : 0x14 + length);
    if (value < 0)
        rest = ~rest;
    for (int at = length - 1; at >= 0; at--)
        *to++ = (unsigned char)(rest >> (8 * at));
    out->size += 1 + length;
    return 0;
}

static int put_float(Buffer *out, double value)
{
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    bits = bits >> 63 ? ~bits : bits | (uint64_t)1 << 63;
    if (buffer_reserve(out, 9) < 0)
        return -1;
    unsigned char *to = (unsigned char *)out->bytes + out->size;
    *to++ = 0x21;
    for (int at = 7; at >= 0; at--)
        *to++ = (unsigned char)(bits >> (8 * at));
    out->size += 9;
    return 0;
}

static int put_byte(Buffer *out, unsigned char byte)
{
    if (buffer_reserve(out, 1) < 0)
        return -1;
    out->bytes[out->size++] = (char)byte;
    return 0;
}

/* What `encode`, the Python function for one element, makes of a value whose type is rare. */
static Outcome put_encoded(Buffer *out, PyObject *encode, PyObject *value)
{
    PyObject *raw = PyObject_CallOneArg(encode, value);
    if (raw == NULL)
        return refused();
    Outcome outcome = ELEMENT_UNUSUAL;
    if (PyBytes_CheckExact(raw)) {
        Py_ssize_t size = PyBytes_GET_SIZE(raw);
        outcome = ELEMENT_FAILED;
        if (buffer_reserve(out, size) == 0) {
            memcpy(out->bytes + out->size, PyBytes_AS_STRING(raw), (size_t)size);
            out->size += size;
            outcome = ELEMENT_READ;
        }
    }
    Py_DECREF(raw);
    return outcome;
}

static Outcome put_items(Buffer *out, PyObject *encode, PyObject *items, int depth);

Outcome put_value(Buffer *out, PyObject *encode, PyObject *value, int depth)
{
    PyTypeObject *type = Py_TYPE(value);
    int failed;
    if (type == &PyLong_Type) {
        int overflow;
        long long number = PyLong_AsLongLongAndOverflow(value, &overflow);
        if (overflow)
            return put_encoded(out, encode, value);
        failed = put_int(out, number);
    } else if (type == &PyUnicode_Type) {
        return put_str(out, value);
    } else if (value == Py_None) {
        failed = put_byte(out, 0x00) || (depth && put_byte(out, 0xFF));
    } else if (type == &PyFloat_Type) {
        failed = put_float(out, PyFloat_AS_DOUBLE(value));
    } else if (type == &PyBytes_Type) {
        failed = put_escaped(out, 0x01, PyBytes_AS_STRING(value), PyBytes_GET_SIZE(value));
    } else if (type == &PyBool_Type) {
        failed = put_byte(out, value == Py_True ? 0x27 : 0x26);
    } else if (type == &PyTuple_Type || type == &PyList_Type) {
        if (depth >= MAX_DEPTH)
            return ELEMENT_UNUSUAL;
        if (put_byte(out, 0x05) < 0)
            return ELEMENT_FAILED;
        Outcome outcome = put_items(out, encode, value, depth + 1);
        if (outcome != ELEMENT_READ)
            return outcome;
        failed = put_byte(out, 0x00);
    } else if (PyTuple_Check(value) || PyList_Check(value)) {
        return ELEMENT_UNUSUAL; /* it may be iterated over in its own way, and counts for the depth */
    } else {
        return put_encoded(out, encode, value);
    }
    return failed ? ELEMENT_FAILED : ELEMENT_READ;
}

static Outcome put_items(Buffer *out, PyObject *encode, PyObject *items, int depth)
{
    int list = PyList_CheckExact(items);
    /* A list may change meanwhile: `encode` runs Python code. */
    for (Py_ssize_t at = 0; at < (list ? PyList_GET_SIZE(items) : PyTuple_GET_SIZE(items)); at++) {
        PyObject *value = list ? PyList_GET_ITEM(items, at) : PyTuple_GET_ITEM(items, at);
        Py_INCREF(value);
        Outcome outcome = put_value(out, encode, value, depth);
        Py_DECREF(value);
        if (outcome != ELEMENT_READ)
            return outcome;
    }
    return ELEMENT_READ;
}

static PyObject *pack(PyObject *kept, PyObject *const *args, Py_ssize_t count, PyObject *names)
{
    PyObject *slow = PyTuple_GET_ITEM(kept, 0), *encode = PyTuple_GET_ITEM(kept, 1);
    if (names == NULL && (count == 1 || (count == 2 && PyBytes_CheckExact(args[1]))) &&
        (PyTuple_CheckExact(args[0]) || PyList_CheckExact(args[0]))) {
        Buffer out;
        buffer_init(&out);
        Outcome outcome = ELEMENT_READ;
        if (count == 2) {
            Py_ssize_t size = PyBytes_GET_SIZE(args[1]);
            if (buffer_reserve(&out, size) < 0)
                outcome = ELEMENT_FAILED;
            else
                memcpy(out.bytes, PyBytes_AS_STRING(args[1]), (size_t)size), out.size = size;
        }
        if (outcome == ELEMENT_READ)
            outcome = put_items(&out, encode, args[0], 0);
        PyObject *packed = outcome == ELEMENT_READ ? PyBytes_FromStringAndSize(out.bytes, out.size) : NULL;
        buffer_free(&out);
        if (outcome != ELEMENT_UNUSUAL)
            return packed;
    }
    return PyObject_Vectorcall(slow, args, (size_t)count, names);
}

static PyMethodDef pack_method = {
    "pack", (PyCFunction)(void (*)(void))pack, METH_FASTCALL | METH_KEYWORDS,
    "pack(items, prefix=b\"\")\n--\n\n`prefix` and then the packed `items`: recordlayer.tuples.packing, in C."};

const char make_pack_doc[] =
    "make_pack(pack, encode_element, /)\n--\n\n`pack` in C; the two functions of recordlayer.tuples.packing take what "
    "is rare or wrong.";

PyObject *make_pack(PyObject *module, PyObject *const *args, Py_ssize_t count)
{
    if (count != 2) {
        PyErr_SetString(PyExc_TypeError, "make_pack takes pack and encode_element");
        return NULL;
    }
    return closure(&pack_method, PyTuple_Pack(2, args[0], args[1]));
}
