/* Writes on their way: counted, taken into a transaction, put into the tree: kv/mutations.py, kv/embedded/writing.py,
   kv/embedded/apply.py. The tree is that of LMDB's Python package: its methods are called from here. What they raise is
   raised. */

#include "core.h"

enum { SET = -1, CLEAR = -2 }; /* kv/mutations.py; kinds of mutations are above 0 */

/* The parts of a write, which keeps them; 0 if they are not of the usual types. */
static int parts_of(PyObject *write, long *kind, PyObject **key, PyObject **value)
{
    if (!PyTuple_CheckExact(write) || PyTuple_GET_SIZE(write) != 3)
        return 0;
    *key = PyTuple_GET_ITEM(write, 1);
    *value = PyTuple_GET_ITEM(write, 2);
    if (!PyLong_Check(PyTuple_GET_ITEM(write, 0)) || !PyBytes_CheckExact(*key) || !PyBytes_CheckExact(*value))
        return 0;
    *kind = PyLong_AsLong(PyTuple_GET_ITEM(write, 0));
    if (*kind == -1 && PyErr_Occurred()) {
        PyErr_Clear();
        return 0;
    }
    return 1;
}

/* writes, kept */
static PyObject *counted(PyObject *kept, PyObject *const *args, Py_ssize_t count, PyObject *names)
{
    Py_ssize_t sets = 0, mutations = 0, clears = 0, size = 0;
    if (names != NULL || count != 2 || !PyList_CheckExact(args[0]) || !PyDict_CheckExact(args[1]))
        goto unusual;
    for (Py_ssize_t at = 0; at < PyList_GET_SIZE(args[0]); at++) {
        long kind;
        PyObject *key, *value;
        if (!parts_of(PyList_GET_ITEM(args[0], at), &kind, &key, &value))
            goto unusual;
        if (kind == SET)
            sets++;
        else if (kind > 0)
            mutations++;
        else {
            int there = kind == CLEAR && PyDict_GET_SIZE(args[1]) ? PyDict_Contains(args[1], key) : kind != CLEAR;
            if (there < 0)
                return NULL;
            if (there)
                Py_RETURN_NONE;
            clears++;
            continue;
        }
        size += PyBytes_GET_SIZE(key) + PyBytes_GET_SIZE(value);
    }
    return Py_BuildValue("nnnn", sets, mutations, clears, size);
unusual:
    return PyObject_Vectorcall(PyTuple_GET_ITEM(kept, 0), args, (size_t)count, names);
}

/* What `lay` and `replace_each` are made with: the function in Python, then numbers and a dict. */
static Py_ssize_t number_of(PyObject *kept, Py_ssize_t place)
{
    return PyLong_AsSsize_t(PyTuple_GET_ITEM(kept, place));
}

/* An operation on a key that nothing is known of: it waits for what the tree has. */
static int stacked(PyObject *entries, PyObject *key, PyObject *kind, PyObject *operand)
{
    PyObject *operation = PyTuple_Pack(2, kind, operand), *stack = operation == NULL ? NULL : PyList_New(1);
    if (stack == NULL) {
        Py_XDECREF(operation);
        return -1;
    }
    PyList_SET_ITEM(stack, 0, operation);
    int done = PyDict_SetItem(entries, key, stack);
    Py_DECREF(stack);
    return done;
}

/* One on a key that something is known of, which the write map puts together. */
static int noted(PyObject *atomic, PyObject *kind, PyObject *key, PyObject *operand)
{
    PyObject *args[3] = {kind, key, operand}, *answer = PyObject_Vectorcall(atomic, args, 3, NULL);
    Py_XDECREF(answer);
    return answer == NULL ? -1 : 0;
}

/* writes, at, entries, atomic, cleared; kept: the function, the plain kinds, limits of keys and values, bytes of a set
   and of a clear beside their keys and values */
static PyObject *lay(PyObject *kept, PyObject *const *args, Py_ssize_t count, PyObject *names)
{
    if (names != NULL || count != 5 || !PyList_CheckExact(args[0]) || !PyLong_CheckExact(args[1]) ||
        !PyDict_CheckExact(args[2]) || !PyBool_Check(args[4]))
        return PyObject_Vectorcall(PyTuple_GET_ITEM(kept, 0), args, (size_t)count, names);
    PyObject *plain = PyTuple_GET_ITEM(kept, 1), *entries = args[2];
    Py_ssize_t longest_key = number_of(kept, 2), longest_value = number_of(kept, 3);
    Py_ssize_t of_set = number_of(kept, 4), of_clear = number_of(kept, 5);
    Py_ssize_t at = PyLong_AsSsize_t(args[1]), size = 0;
    if (at < 0 || PyErr_Occurred()) {
        PyErr_Clear();
        return PyObject_Vectorcall(PyTuple_GET_ITEM(kept, 0), args, (size_t)count, names);
    }
    for (; at < PyList_GET_SIZE(args[0]); at++) {
        long kind;
        PyObject *key, *value, *write = PyList_GET_ITEM(args[0], at);
        if (!parts_of(write, &kind, &key, &value))
            break;
        Py_ssize_t key_size = PyBytes_GET_SIZE(key), value_size = PyBytes_GET_SIZE(value);
        if ((key_size && (unsigned char)PyBytes_AS_STRING(key)[0] == 0xff) || key_size > longest_key ||
            value_size > longest_value)
            break;
        if (kind == SET) {
            if (PyDict_SetItem(entries, key, value) < 0)
                return NULL;
            size += 3 * key_size + value_size + of_set;
        } else if (kind == CLEAR) {
            if (PyDict_SetItem(entries, key, Py_None) < 0)
                return NULL;
            size += 4 * key_size + of_clear;
        } else {
            PyObject *named = PyDict_GetItemWithError(plain, PyTuple_GET_ITEM(write, 0));
            int known = named == NULL ? -1 : args[4] == Py_True ? 1 : PyDict_Contains(entries, key);
            if (known < 0 && PyErr_Occurred())
                return NULL;
            if (known < 0)
                break;
            if (known ? noted(args[3], named, key, value) < 0 : stacked(entries, key, named, value) < 0)
                return NULL;
            size += 3 * key_size + value_size + of_set;
        }
    }
    return Py_BuildValue("nn", at, size);
}

/* keys, entries, reads; kept: the function, limit of keys, bytes of a read beside twice its key */
static PyObject *note_reads(PyObject *kept, PyObject *const *args, Py_ssize_t count, PyObject *names)
{
    if (names != NULL || count != 3 || !PyList_CheckExact(args[0]) || !PyDict_CheckExact(args[1]) ||
        !PyDict_CheckExact(args[2]))
        return PyObject_Vectorcall(PyTuple_GET_ITEM(kept, 0), args, (size_t)count, names);
    Py_ssize_t limit = number_of(kept, 1), of_read = number_of(kept, 2), size = 0;
    for (Py_ssize_t at = 0; at < PyList_GET_SIZE(args[0]); at++) {
        PyObject *key = PyList_GET_ITEM(args[0], at);
        if (!PyBytes_CheckExact(key))
            Py_RETURN_NONE;
        Py_ssize_t length = PyBytes_GET_SIZE(key);
        int unusual = (length && (unsigned char)PyBytes_AS_STRING(key)[0] == 0xff) || length >= limit;
        if (!unusual && PyDict_GET_SIZE(args[1]) && (unusual = PyDict_Contains(args[1], key)) < 0)
            return NULL;
        if (unusual)
            Py_RETURN_NONE;
        size += 2 * length + of_read;
    }
    for (Py_ssize_t at = 0; at < PyList_GET_SIZE(args[0]); at++)
        if (PyDict_SetItem(args[2], PyList_GET_ITEM(args[0], at), Py_None) < 0)
            return NULL;
    return PyLong_FromSsize_t(size);
}

/* The value that an entry leaves behind: a reference, None if there is none, NULL if that could not be found out. */
static PyObject *left_by(PyObject *entry, PyObject *key, PyObject *resolved)
{
    if (!PyList_Check(entry)) {
        Py_INCREF(entry);
        return entry;
    }
    PyObject *args[2] = {key, entry};
    return PyObject_Vectorcall(resolved, args, 2, NULL);
}

/* Whether `object` is a tuple of so many. */
static int is_tuple(PyObject *object, Py_ssize_t size)
{
    return PyTuple_CheckExact(object) && PyTuple_GET_SIZE(object) == size;
}

/* The only operation of a stack, if it adds a number of up to eight bytes: its operand. */
static PyObject *only_added(PyObject *entry, PyObject *add)
{
    if (!PyList_CheckExact(entry) || PyList_GET_SIZE(entry) != 1 || !is_tuple(PyList_GET_ITEM(entry, 0), 2))
        return NULL;
    PyObject *operation = PyList_GET_ITEM(entry, 0), *operand = PyTuple_GET_ITEM(operation, 1);
    int usual = PyTuple_GET_ITEM(operation, 0) == add && PyBytes_CheckExact(operand) && PyBytes_GET_SIZE(operand) <= 8;
    return usual ? operand : NULL;
}

/* kv/embedded/atomic.py: the sum has the operand's length. */
static PyObject *sum_of(PyObject *stored, PyObject *operand)
{
    if (stored != Py_None && !PyBytes_CheckExact(stored)) {
        PyErr_SetString(PyExc_TypeError, "a tree gives bytes");
        return NULL;
    }
    if (stored == Py_None || !PyBytes_GET_SIZE(stored)) {
        Py_INCREF(operand);
        return operand;
    }
    PyObject *sum = PyBytes_FromStringAndSize(NULL, PyBytes_GET_SIZE(operand));
    unsigned carry = 0;
    for (Py_ssize_t at = 0; sum != NULL && at < PyBytes_GET_SIZE(operand); at++) {
        carry += (unsigned char)PyBytes_AS_STRING(operand)[at];
        if (at < PyBytes_GET_SIZE(stored))
            carry += (unsigned char)PyBytes_AS_STRING(stored)[at];
        PyBytes_AS_STRING(sum)[at] = (char)(carry & 0xff);
        carry >>= 8;
    }
    return sum;
}

/* The sum of what a tree has and an operand. */
static PyObject *added(PyObject *get, PyObject *key, PyObject *tree, PyObject *operand)
{
    Py_INCREF(operand); /* others run while the tree is read */
    PyObject *args[3] = {key, Py_None, tree}, *stored = PyObject_Vectorcall(get, args, 3, NULL);
    PyObject *sum = stored == NULL ? NULL : sum_of(stored, operand);
    Py_XDECREF(stored);
    Py_DECREF(operand);
    return sum;
}

/* keys, entries, undo, (replace, pop, tree, get), (put, pop), resolved; kept: the function, how long the tree's keys
   may be, and the kind of operations that add */
static PyObject *replace_each(PyObject *kept, PyObject *const *args, Py_ssize_t count, PyObject *names)
{
    if (names != NULL || count != 6 || !PyList_CheckExact(args[0]) || !PyDict_CheckExact(args[1]) ||
        !PyDict_CheckExact(args[2]) || !is_tuple(args[3], 4) || !is_tuple(args[4], 2))
        return PyObject_Vectorcall(PyTuple_GET_ITEM(kept, 0), args, (size_t)count, names);
    PyObject *tree = PyTuple_GET_ITEM(args[3], 2);
    Py_ssize_t longest = number_of(kept, 1), size = 0;
    for (Py_ssize_t at = 0; at < PyList_GET_SIZE(args[0]); at++) {
        PyObject *key = PyList_GET_ITEM(args[0], at), *entry = PyDict_GetItemWithError(args[1], key);
        if (entry == NULL || !PyBytes_CheckExact(key)) {
            if (!PyErr_Occurred())
                PyErr_SetObject(PyExc_KeyError, key);
            return NULL;
        }
        Py_INCREF(key); /* others run while the tree is written */
        Py_ssize_t length = PyBytes_GET_SIZE(key);
        int in_tree = 0 < length && length <= longest;
        PyObject *operand = in_tree ? only_added(entry, PyTuple_GET_ITEM(kept, 2)) : NULL, *old = NULL;
        PyObject *value = operand == NULL ? left_by(entry, key, args[5])
                                          : added(PyTuple_GET_ITEM(args[3], 3), key, tree, operand);
        if (value != NULL) {
            int gone = value == Py_None;
            PyObject *ways = in_tree ? args[3] : args[4];
            PyObject *call[3] = {key, gone ? tree : value, tree};
            size_t parts = (gone ? 1 : 2) + (size_t)in_tree;
            old = PyObject_Vectorcall(PyTuple_GET_ITEM(ways, gone), call, parts, NULL);
            size += length;
        }
        int done = old == NULL ? -1 : PyDict_SetItem(args[2], key, old);
        if (done == 0 && old != Py_None) {
            Py_ssize_t more = PyObject_Size(old);
            done = more < 0 ? -1 : 0;
            size += more;
        }
        Py_XDECREF(old);
        Py_XDECREF(value);
        Py_DECREF(key);
        if (done < 0)
            return NULL;
    }
    return PyLong_FromSsize_t(size);
}

FUNCTION(counted, "(writes, kept)", 0, "Sets, mutations, clears, and their bytes.")
FUNCTION(lay, "(writes, at, entries, atomic, cleared)", 5, "Takes writes into a transaction, up to one that is not usual.")
FUNCTION(note_reads, "(keys, entries, reads)", 2, "Adds keys to those that were read, if none is unusual.")
FUNCTION(replace_each, "(keys, entries, undo, tree, rest, resolved)", 2, "Writes entries, and notes what was there.")
