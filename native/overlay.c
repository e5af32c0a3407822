/* Keys and ranges of a transaction, in order: kv/embedded/writes.py and range_set.py. */

#include "core.h"

#define FEW 64 /* up to here, putting keys in one by one beats sorting */

static int is_less(PyObject *left, PyObject *right)
{
    Py_ssize_t a = PyBytes_GET_SIZE(left), b = PyBytes_GET_SIZE(right);
    int order = memcmp(PyBytes_AS_STRING(left), PyBytes_AS_STRING(right), (size_t)(a < b ? a : b));
    return order < 0 || (order == 0 && a < b);
}

/* The first place in a list of bytes whose key is not below `key`; with `behind`, whose key is above it. -1 with an error
   if there is something else in the list. */
static Py_ssize_t place_of(PyObject *list, PyObject *key, int behind)
{
    Py_ssize_t low = 0, high = PyList_GET_SIZE(list);
    while (low < high) {
        Py_ssize_t middle = low + (high - low) / 2;
        PyObject *there = PyList_GET_ITEM(list, middle);
        if (!PyBytes_CheckExact(there)) {
            PyErr_SetString(PyExc_TypeError, "keys are bytes");
            return -1;
        }
        if (behind ? !is_less(key, there) : is_less(there, key))
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* Takes the last `count` keys of a dict into a list in order; -1 with an error. */
static int take_last(PyObject *entries, PyObject *keys, Py_ssize_t count)
{
    PyObject *last = PyObject_CallMethod(entries, "__reversed__", NULL);
    int done = last == NULL ? -1 : 0;
    for (Py_ssize_t taken = 0; done == 0 && taken < count; taken++) {
        PyObject *key = PyIter_Next(last);
        Py_ssize_t at = -1;
        if (key != NULL && PyBytes_CheckExact(key))
            at = count < FEW ? place_of(keys, key, 1) : PyList_GET_SIZE(keys);
        else if (!PyErr_Occurred())
            PyErr_SetString(PyExc_TypeError, "keys are bytes");
        done = at < 0 ? -1 : PyList_Insert(keys, at, key);
        Py_XDECREF(key);
    }
    Py_XDECREF(last);
    return done == 0 && count >= FEW ? PyList_Sort(keys) : done;
}

/* entries, keys, begin, end */
static PyObject *keys_between(PyObject *kept, PyObject *const *args, Py_ssize_t count, PyObject *names)
{
    if (names != NULL || count != 4 || !PyDict_CheckExact(args[0]) || !PyList_CheckExact(args[1]) ||
        !PyBytes_CheckExact(args[2]) || !PyBytes_CheckExact(args[3]))
        return PyObject_Vectorcall(PyTuple_GET_ITEM(kept, 0), args, (size_t)count, names);
    Py_ssize_t more = PyDict_GET_SIZE(args[0]) - PyList_GET_SIZE(args[1]);
    if (more > 0 && take_last(args[0], args[1], more) < 0)
        return NULL;
    Py_ssize_t low = place_of(args[1], args[2], 0), high = low < 0 ? -1 : place_of(args[1], args[3], 0);
    return high < 0 ? NULL : PyList_GetSlice(args[1], low, low < high ? high : low);
}

/* Puts one object in place of some of a list; -1 with an error. */
static int put_in(PyObject *list, Py_ssize_t low, Py_ssize_t high, PyObject *object)
{
    if (low == high)
        return PyList_Insert(list, low, object);
    Py_INCREF(object);
    if (PyList_SetItem(list, low, object) < 0)
        return -1;
    return high - low > 1 ? PyList_SetSlice(list, low + 1, high, NULL) : 0;
}

/* starts, ends, begin, end */
static PyObject *add_range(PyObject *kept, PyObject *const *args, Py_ssize_t count, PyObject *names)
{
    if (names != NULL || count != 4 || !PyList_CheckExact(args[0]) || !PyList_CheckExact(args[1]) ||
        !PyBytes_CheckExact(args[2]) || !PyBytes_CheckExact(args[3]) ||
        PyList_GET_SIZE(args[0]) != PyList_GET_SIZE(args[1]))
        return PyObject_Vectorcall(PyTuple_GET_ITEM(kept, 0), args, (size_t)count, names);
    PyObject *starts = args[0], *ends = args[1], *begin = args[2], *end = args[3];
    Py_ssize_t low = place_of(ends, begin, 0), high = low < 0 ? -1 : place_of(starts, end, 1);
    if (high < 0)
        return NULL;
    if (low < high) { /* those that it touches or overlaps become one with it */
        PyObject *first = PyList_GET_ITEM(starts, low), *last = PyList_GET_ITEM(ends, high - 1);
        if (!PyBytes_CheckExact(first) || !PyBytes_CheckExact(last)) {
            PyErr_SetString(PyExc_TypeError, "keys are bytes");
            return NULL;
        }
        begin = is_less(first, begin) ? first : begin;
        end = is_less(end, last) ? last : end;
    } else {
        high = low;
    }
    Py_INCREF(begin); /* they may be in the lists alone */
    Py_INCREF(end);
    int failed = put_in(starts, low, high, begin) < 0 || put_in(ends, low, high, end) < 0;
    Py_DECREF(begin);
    Py_DECREF(end);
    if (failed)
        return NULL;
    Py_RETURN_NONE;
}

FUNCTION(keys_between, "(entries, keys, begin, end)", 0, "Keys of a range, of a dict whose first ones are in order.")
FUNCTION(add_range, "(starts, ends, begin, end)", 0, "Adds a range to disjoint ones.")
