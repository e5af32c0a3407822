/* The direct entries of a record: keys/compiled_entries.py. */

#include "core.h"

#include <math.h>

enum { INT = 1, FLOAT, SINGLE_FLOAT, BOOL, STR, BYTES, CONSTANT, OF_CONTEXT }; /* keys/entry_program.py */
enum { ALWAYS_SET, ASK_IF_FALSE, ASK, UNSET_IF_FALSE };

#define MOST_COLUMNS 64
#define MOST_MESSAGES 16

/* What an entries function keeps. */
enum { SLOW, ENCODE, HAS_FIELD, CLASS, MESSAGES, COLUMNS, ENTRIES, KEY_LIMIT, VALUE_LIMIT, PARTS };

typedef struct {
    Py_ssize_t begin, size;
} Span;

static long number_at(PyObject *tuple, Py_ssize_t place)
{
    return PyLong_AsLong(PyTuple_GET_ITEM(tuple, place));
}

static Outcome put_single_float(Buffer *out, double value)
{
    float narrow = (float)value;
    if ((double)narrow != value) /* also what is not a number */
        return ELEMENT_UNUSUAL;
    uint32_t bits;
    memcpy(&bits, &narrow, sizeof bits);
    bits = bits >> 31 ? ~bits : bits | (uint32_t)1 << 31;
    if (buffer_reserve(out, 5) < 0)
        return ELEMENT_FAILED;
    unsigned char *to = (unsigned char *)out->bytes + out->size;
    *to++ = 0x20;
    for (int at = 3; at >= 0; at--)
        *to++ = (unsigned char)(bits >> (8 * at));
    out->size += 5;
    return ELEMENT_READ;
}

static Outcome put_raw(Buffer *out, PyObject *raw)
{
    Py_ssize_t size = PyBytes_GET_SIZE(raw);
    if (buffer_reserve(out, size) < 0)
        return ELEMENT_FAILED;
    memcpy(out->bytes + out->size, PyBytes_AS_STRING(raw), (size_t)size);
    out->size += size;
    return ELEMENT_READ;
}

static int is_false(PyObject *value)
{
    return value == Py_False || (PyFloat_CheckExact(value) ? PyFloat_AS_DOUBLE(value) == 0.0 : PyObject_Not(value) == 1);
}

/* Whether a field of a message counts as not set; its value is `value`. */
static Outcome look_whether_set(PyObject *kept, PyObject *message, PyObject *name, long presence, PyObject *value, int *set)
{
    *set = 1;
    if (presence == ALWAYS_SET || (presence != ASK && !is_false(value)))
        return ELEMENT_READ;
    if (presence == UNSET_IF_FALSE) {
        *set = PyFloat_CheckExact(value) && signbit(PyFloat_AS_DOUBLE(value));
        return ELEMENT_READ;
    }
    PyObject *has = PyObject_CallMethodOneArg(message, PyTuple_GET_ITEM(kept, HAS_FIELD), name);
    if (has == NULL)
        return refused();
    *set = has == Py_True;
    Py_DECREF(has);
    return ELEMENT_READ;
}

static Outcome put_field(Buffer *out, PyObject *kept, PyObject *message, PyObject *name, long kind, long presence,
                         PyObject *value)
{
    PyTypeObject *type = Py_TYPE(value);
    int expected = kind == INT                              ? type == &PyLong_Type
                   : kind == FLOAT || kind == SINGLE_FLOAT ? type == &PyFloat_Type
                   : kind == BOOL                          ? type == &PyBool_Type
                   : kind == STR                           ? type == &PyUnicode_Type
                                                           : type == &PyBytes_Type;
    if (!expected)
        return ELEMENT_UNUSUAL;
    int set;
    Outcome outcome = look_whether_set(kept, message, name, presence, value, &set);
    if (outcome != ELEMENT_READ)
        return outcome;
    if (set && kind == SINGLE_FLOAT)
        return put_single_float(out, PyFloat_AS_DOUBLE(value));
    return put_value(out, PyTuple_GET_ITEM(kept, ENCODE), set ? value : Py_None, 0);
}

/* The messages that columns are read from, each behind the one that holds it; NULL for those that are not there. What is
   found is the caller's to release, also where something fails. */
static Outcome find_messages(PyObject *kept, PyObject *record, PyObject **found)
{
    PyObject *messages = PyTuple_GET_ITEM(kept, MESSAGES);
    for (Py_ssize_t at = 0; at < PyTuple_GET_SIZE(messages); at++) {
        PyObject *one = PyTuple_GET_ITEM(messages, at), *name = PyTuple_GET_ITEM(one, 0);
        long place = number_at(one, 1);
        PyObject *holder = place < 0 ? record : found[place];
        if (holder == NULL)
            continue;
        if (PyTuple_GET_ITEM(one, 2) != Py_True) {
            PyObject *has = PyObject_CallMethodOneArg(holder, PyTuple_GET_ITEM(kept, HAS_FIELD), name);
            if (has == NULL)
                return refused();
            int is_there = has == Py_True;
            Py_DECREF(has);
            if (!is_there)
                continue;
        }
        found[at] = PyObject_GetAttr(holder, name);
        if (found[at] == NULL)
            return refused();
    }
    return ELEMENT_READ;
}

static Outcome put_columns(Buffer *out, PyObject *kept, PyObject *record, PyObject **messages, PyObject *context, Span *spans)
{
    PyObject *columns = PyTuple_GET_ITEM(kept, COLUMNS);
    for (Py_ssize_t at = 0; at < PyTuple_GET_SIZE(columns); at++) {
        PyObject *column = PyTuple_GET_ITEM(columns, at), *source = PyTuple_GET_ITEM(column, 0);
        long kind = number_at(column, 1), place = number_at(column, 3);
        PyObject *message = place < 0 ? record : messages[place];
        Outcome outcome;
        spans[at].begin = out->size;
        if (kind == CONSTANT) {
            outcome = put_raw(out, source);
        } else if (message == NULL) {
            outcome = put_value(out, PyTuple_GET_ITEM(kept, ENCODE), Py_None, 0);
        } else {
            PyObject *value = PyObject_GetAttr(kind == OF_CONTEXT ? context : message, source);
            if (value == NULL)
                return refused();
            outcome = kind == OF_CONTEXT ? put_value(out, PyTuple_GET_ITEM(kept, ENCODE), value, 0)
                                         : put_field(out, kept, message, source, kind, number_at(column, 2), value);
            Py_DECREF(value);
        }
        if (outcome != ELEMENT_READ)
            return outcome;
        spans[at].size = out->size - spans[at].begin;
    }
    return ELEMENT_READ;
}

static Py_ssize_t size_of(const Span *spans, PyObject *places)
{
    Py_ssize_t size = 0;
    for (Py_ssize_t at = 0; at < PyTuple_GET_SIZE(places); at++)
        size += spans[number_at(places, at)].size;
    return size;
}

static char *copy_columns(char *to, const Buffer *packed, const Span *spans, PyObject *places)
{
    for (Py_ssize_t at = 0; at < PyTuple_GET_SIZE(places); at++) {
        const Span *span = &spans[number_at(places, at)];
        memcpy(to, packed->bytes + span->begin, (size_t)span->size);
        to += span->size;
    }
    return to;
}

/* One write. NULL without an error if it is too long. */
static PyObject *entry_of(PyObject *kept, PyObject *entry, const Buffer *packed, const Span *spans, PyObject *prefix,
                          PyObject *suffix)
{
    PyObject *in_key = PyTuple_GET_ITEM(entry, 2), *operand = PyTuple_GET_ITEM(entry, 1);
    int with_suffix = PyTuple_GET_ITEM(entry, 3) == Py_True;
    Py_ssize_t before = PyBytes_GET_SIZE(prefix), behind = with_suffix ? PyBytes_GET_SIZE(suffix) : 0;
    Py_ssize_t size = before + size_of(spans, in_key) + behind;
    if (size > number_at(kept, KEY_LIMIT))
        return NULL;
    PyObject *key = PyBytes_FromStringAndSize(NULL, size);
    if (key == NULL)
        return NULL;
    char *to = PyBytes_AS_STRING(key);
    memcpy(to, PyBytes_AS_STRING(prefix), (size_t)before);
    to = copy_columns(to + before, packed, spans, in_key);
    if (with_suffix)
        memcpy(to, PyBytes_AS_STRING(suffix), (size_t)behind);
    PyObject *value = NULL;
    if (PyBytes_CheckExact(operand)) {
        Py_INCREF(operand);
        value = operand;
    } else if ((size = size_of(spans, operand)) <= number_at(kept, VALUE_LIMIT)) {
        value = PyBytes_FromStringAndSize(NULL, size);
        if (value != NULL)
            copy_columns(PyBytes_AS_STRING(value), packed, spans, operand);
    }
    PyObject *made = value == NULL ? NULL : PyTuple_Pack(3, PyTuple_GET_ITEM(entry, 0), key, value);
    Py_DECREF(key);
    Py_XDECREF(value);
    return made;
}

static int are_usual(PyObject *kept, PyObject *const *args, Py_ssize_t count)
{
    if (count != 4 || (PyObject *)Py_TYPE(args[0]) != PyTuple_GET_ITEM(kept, CLASS) || !PyBytes_CheckExact(args[2]) ||
        !PyTuple_CheckExact(args[3]) || PyTuple_GET_SIZE(args[3]) != PyTuple_GET_SIZE(PyTuple_GET_ITEM(kept, ENTRIES)))
        return 0;
    for (Py_ssize_t at = 0; at < PyTuple_GET_SIZE(args[3]); at++)
        if (!PyBytes_CheckExact(PyTuple_GET_ITEM(args[3], at)))
            return 0;
    return 1;
}

static PyObject *entries(PyObject *kept, PyObject *const *args, Py_ssize_t count)
{
    PyObject *made = NULL;
    if (are_usual(kept, args, count)) {
        Buffer packed;
        Span spans[MOST_COLUMNS];
        PyObject *messages[MOST_MESSAGES] = {NULL};
        buffer_init(&packed);
        Outcome outcome = find_messages(kept, args[0], messages);
        if (outcome == ELEMENT_READ)
            outcome = put_columns(&packed, kept, args[0], messages, args[1], spans);
        for (Py_ssize_t at = 0; at < PyTuple_GET_SIZE(PyTuple_GET_ITEM(kept, MESSAGES)); at++)
            Py_XDECREF(messages[at]);
        PyObject *wanted = PyTuple_GET_ITEM(kept, ENTRIES);
        if (outcome == ELEMENT_READ)
            made = PyList_New(PyTuple_GET_SIZE(wanted));
        for (Py_ssize_t at = 0; made != NULL && at < PyTuple_GET_SIZE(wanted); at++) {
            PyObject *one = entry_of(kept, PyTuple_GET_ITEM(wanted, at), &packed, spans, PyTuple_GET_ITEM(args[3], at),
                                     args[2]);
            if (one == NULL)
                Py_CLEAR(made);
            else
                PyList_SET_ITEM(made, at, one);
        }
        buffer_free(&packed);
        if (made != NULL || PyErr_Occurred())
            return made;
    }
    return PyObject_Vectorcall(PyTuple_GET_ITEM(kept, SLOW), args, (size_t)count, NULL);
}

static PyMethodDef entries_method = {
    "entries", (PyCFunction)(void (*)(void))entries, METH_FASTCALL,
    "entries(message, context, suffix, prefixes, /)\n--\n\nThe writes of a record's direct entries: "
    "recordlayer.keys.compiled_entries, in C."};

const char make_entries_doc[] =
    "make_entries(entries, encode_element, message_class, messages, columns, wanted, key_limit, value_limit, /)\n--\n\nThe function "
    "in C that a program of recordlayer.keys.entry_program stands for; the first takes what is rare or wrong.";

static int are_places(PyObject *places, Py_ssize_t columns)
{
    if (!PyTuple_CheckExact(places))
        return 0;
    for (Py_ssize_t at = 0; at < PyTuple_GET_SIZE(places); at++) {
        PyObject *place = PyTuple_GET_ITEM(places, at);
        if (!PyLong_CheckExact(place) || number_at(places, at) < 0 || number_at(places, at) >= columns)
            return 0;
    }
    return 1;
}

/* Whether a tuple has, at a place, that of one of the first `messages` messages, or -1. */
static int has_holder(PyObject *tuple, Py_ssize_t place, Py_ssize_t messages)
{
    return PyLong_CheckExact(PyTuple_GET_ITEM(tuple, place)) && number_at(tuple, place) >= -1 &&
           number_at(tuple, place) < messages;
}

static int are_messages(PyObject *messages)
{
    if (!PyTuple_CheckExact(messages) || PyTuple_GET_SIZE(messages) > MOST_MESSAGES)
        return 0;
    for (Py_ssize_t at = 0; at < PyTuple_GET_SIZE(messages); at++) {
        PyObject *one = PyTuple_GET_ITEM(messages, at);
        if (!PyTuple_CheckExact(one) || PyTuple_GET_SIZE(one) != 3 || !PyUnicode_CheckExact(PyTuple_GET_ITEM(one, 0)) ||
            !has_holder(one, 1, at))
            return 0;
    }
    return 1;
}

static int is_program(PyObject *messages, PyObject *columns, PyObject *wanted)
{
    if (!are_messages(messages) || !PyTuple_CheckExact(columns) || !PyTuple_CheckExact(wanted) ||
        PyTuple_GET_SIZE(columns) > MOST_COLUMNS)
        return 0;
    for (Py_ssize_t at = 0; at < PyTuple_GET_SIZE(columns); at++) {
        PyObject *column = PyTuple_GET_ITEM(columns, at);
        if (!PyTuple_CheckExact(column) || PyTuple_GET_SIZE(column) != 4 || !PyLong_CheckExact(PyTuple_GET_ITEM(column, 1)) ||
            !PyLong_CheckExact(PyTuple_GET_ITEM(column, 2)) || !has_holder(column, 3, PyTuple_GET_SIZE(messages)))
            return 0;
        PyObject *source = PyTuple_GET_ITEM(column, 0);
        if (number_at(column, 1) == CONSTANT ? !PyBytes_CheckExact(source) : !PyUnicode_CheckExact(source))
            return 0;
    }
    for (Py_ssize_t at = 0; at < PyTuple_GET_SIZE(wanted); at++) {
        PyObject *entry = PyTuple_GET_ITEM(wanted, at);
        if (!PyTuple_CheckExact(entry) || PyTuple_GET_SIZE(entry) != 4 || !PyLong_CheckExact(PyTuple_GET_ITEM(entry, 0)) ||
            !are_places(PyTuple_GET_ITEM(entry, 2), PyTuple_GET_SIZE(columns)))
            return 0;
        PyObject *operand = PyTuple_GET_ITEM(entry, 1);
        if (!PyBytes_CheckExact(operand) && !are_places(operand, PyTuple_GET_SIZE(columns)))
            return 0;
    }
    return 1;
}

PyObject *make_entries(PyObject *module, PyObject *const *args, Py_ssize_t count)
{
    if (count != 8 || !PyType_Check(args[2]) || !is_program(args[3], args[4], args[5]) || !PyLong_CheckExact(args[6]) ||
        !PyLong_CheckExact(args[7])) {
        PyErr_SetString(PyExc_TypeError, "make_entries takes two functions, a class, a program and two limits");
        return NULL;
    }
    PyObject *has_field = PyUnicode_InternFromString("HasField");
    if (has_field == NULL)
        return NULL;
    PyObject *kept = PyTuple_Pack(PARTS, args[0], args[1], has_field, args[2], args[3], args[4], args[5], args[6], args[7]);
    Py_DECREF(has_field);
    return closure(&entries_method, kept);
}
