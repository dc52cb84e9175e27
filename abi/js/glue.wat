;; The loop of the ABI over the JavaScript engine: it takes events, calls the functions of
;; runtime.js, and implements the functions that the engine calls (env.host_*).
;;
;; The build replaces {n} by the address of byte n of a block behind the engine's own
;; memory (lib/engine.mjs), assembles the text and joins it with the engine. The block:
;;
;;    0  1 when prepared          4  runtime.js, its length       12  bundle, its length
;;   20  source map, its length  28  table of native functions    32  undefined
;;   36  the object __berth      40  its functions run and end    48  buffer, its capacity
;;   56  three answers of calls  68  unhandled rejections         72  state of the random numbers
;;   80  fd_write's list         88  fd_write's answer            92  three arguments
;;  104  the texts below
;;
;; Parts marked as of the second edition are left out of handlers that call none of
;; its functions: hosts without them refuse a module that imports them.
(module
  (import "berth_v1" "next" (func $next (param i32 i32) (result i32)))
  (import "berth_v1" "last" (func $last (param i32 i32) (result i32)))
  (import "berth_v1" "field" (func $field (param i32 i32 i32 i32) (result i32)))
  (import "berth_v1" "finish" (func $finish (param i32 i32 i32) (result i32)))
  (import "berth_v1" "emit" (func $emit (param i32 i32) (result i32)))
  (import "berth_v1" "log" (func $log (param i32 i32 i32)))
  (import "berth_v1" "config" (func $config (param i32 i32) (result i32)))
  (import "berth_v1" "secret" (func $secret (param i32 i32 i32 i32) (result i32)))
  (import "berth_v1" "kv_get" (func $kv_get (param i32 i32 i32 i32) (result i32)))
  (import "berth_v1" "kv_set" (func $kv_set (param i32 i32 i32 i32) (result i32)))
  (import "berth_v1" "kv_cas" (func $kv_cas (param i32 i32 i32 i32 i32 i32) (result i32)))
  (import "berth_v1" "kv_delete" (func $kv_delete (param i32 i32) (result i32)))
  ;; [second edition
  (import "berth_v1" "kv_list" (func $kv_list (param i32 i32 i32 i32 i32 i32) (result i32)))
  (import "berth_v1" "kv_expire" (func $kv_expire (param i32 i32 i32) (result i32)))
  (import "berth_v1" "trace" (func $trace (param i32 i32) (result i32)))
  ;; second edition]
  (import "berth_v1" "http" (func $http (param i32 i32 i32 i32) (result i32)))
  (import "berth_v1" "attempt" (func $attempt (result i32)))
  (import "berth_v1" "remaining" (func $remaining (result i32)))
  (import "berth_v1" "error" (func $error (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $proc_exit (param i32)))
  (import "wasi_snapshot_preview1" "random_get" (func $random_get (param i32 i32) (result i32)))

  (import "qjs" "memory" (memory 1))
  (import "qjs" "wasm_malloc" (func $malloc (param i32) (result i32)))
  (import "qjs" "wasm_free" (func $free (param i32)))
  (import "qjs" "strlen" (func $strlen (param i32) (result i32)))
  (import "qjs" "qjs_init" (func $qjs_init (result i32)))
  (import "qjs" "qjs_set_max_stack_size" (func $limit_stack (param i32)))
  (import "qjs" "qjs_eval" (func $eval (param i32 i32 i32 i32) (result i32)))
  (import "qjs" "qjs_compile" (func $compile (param i32 i32 i32 i32 i32 i32) (result i32)))
  (import "qjs" "qjs_eval_bytecode" (func $eval_bytecode (param i32 i32) (result i32)))
  (import "qjs" "qjs_call" (func $qjs_call (param i32 i32 i32 i32) (result i32)))
  (import "qjs" "qjs_is_exception" (func $is_exception (param i32) (result i32)))
  (import "qjs" "qjs_get_exception" (func $get_exception (result i32)))
  (import "qjs" "qjs_is_string" (func $is_string (param i32) (result i32)))
  (import "qjs" "qjs_is_undefined" (func $is_undefined (param i32) (result i32)))
  (import "qjs" "qjs_get_null" (func $get_null (result i32)))
  (import "qjs" "qjs_get_undefined" (func $get_undefined (result i32)))
  (import "qjs" "qjs_get_string_len" (func $get_string (param i32 i32) (result i32)))
  (import "qjs" "qjs_free_cstring" (func $free_string (param i32)))
  (import "qjs" "qjs_get_float64" (func $get_number (param i32) (result f64)))
  (import "qjs" "qjs_get_typed_array_buffer" (func $get_array (param i32 i32 i32 i32) (result i32)))
  (import "qjs" "qjs_get_array_buffer" (func $get_buffer (param i32 i32) (result i32)))
  (import "qjs" "qjs_new_string" (func $new_string (param i32 i32) (result i32)))
  (import "qjs" "qjs_new_number" (func $new_number (param f64) (result i32)))
  (import "qjs" "qjs_new_object" (func $new_object (result i32)))
  (import "qjs" "qjs_new_uint8_array" (func $new_bytes (param i32 i32) (result i32)))
  (import "qjs" "qjs_new_host_function" (func $new_function (param i32 i32 i32) (result i32)))
  (import "qjs" "qjs_free_value" (func $free_value (param i32)))
  (import "qjs" "qjs_get_global" (func $get_global (result i32)))
  (import "qjs" "qjs_get_prop_string" (func $get_property (param i32 i32) (result i32)))
  (import "qjs" "qjs_set_prop_string" (func $set_property (param i32 i32 i32) (result i32)))
  (import "qjs" "qjs_is_job_pending" (func $is_job_pending (result i32)))
  (import "qjs" "qjs_execute_pending_job" (func $execute_job (result i32)))
  (import "qjs" "qjs_set_promise_rejection_handler" (func $track_rejections (param i32)))

  (data (i32.const {104}) "__berth\00")
  (data (i32.const {112}) "run\00end\00")
  (data (i32.const {120}) "start\00")
  (data (i32.const {128}) "main\00")
  (data (i32.const {136}) "refused\00")
  (data (i32.const {144}) "rejection\00")
  (data (i32.const {160}) "berth-js\00")
  (data (i32.const {176}) "bundle.js\00")

  ;; The length of the latest argument that $arg has read.
  (global $length (mut i32) (i32.const 0))

  ;; $invoke calls a function with the first argc of the three arguments at {92}. An
  ;; exception ends the instance: the functions of runtime.js catch those of the handler.
  (func $invoke (param $function i32) (param $argc i32) (result i32) (local $answer i32)
    (local.set $answer (call $qjs_call (local.get $function) (i32.load (i32.const {32})) (local.get $argc) (i32.const {92})))
    (call $check (local.get $answer))
    (local.get $answer))

  (func $check (param $value i32)
    (if (call $is_exception (local.get $value))
      (then
        (call $exit (call $get_exception)))))

  ;; $exit writes an exception, ends the instance, and fails the attempt.
  (func $exit (param $exception i32) (local $text i32)
    (local.set $text (call $get_string (local.get $exception) (i32.const {56})))
    (if (local.get $text) (then (call $write (local.get $text) (i32.load (i32.const {56})))))
    (call $proc_exit (i32.const 1))
    (unreachable))

  ;; $method calls a function of __berth by name.
  (func $method (param $name i32) (param $argc i32) (result i32) (local $function i32) (local $answer i32)
    (local.set $function (call $get_property (i32.load (i32.const {36})) (local.get $name)))
    (local.set $answer (call $invoke (local.get $function) (local.get $argc)))
    (call $free_value (local.get $function))
    (local.get $answer))

  ;; $write writes a text to the file descriptor 2.
  (func $write (param $text i32) (param $n i32)
    (i32.store (i32.const {80}) (local.get $text))
    (i32.store (i32.const {84}) (local.get $n))
    (drop (call $fd_write (i32.const 2) (i32.const {80}) (i32.const 1) (i32.const {88}))))

  ;; $prepare makes the engine's context, evaluates runtime.js and compiles the bundle. It
  ;; runs when the module is built: what it leaves in memory becomes the module's data.
  (func $prepare (export "prepare") (local $berth i32) (local $name i32) (local $value i32)
    (if (call $qjs_init) (then (unreachable)))
    ;; A deeper call is a RangeError. With limits.stack at 8 MiB the host still permits it.
    (call $limit_stack (i32.const 262144))
    (i32.store (i32.const {32}) (call $get_undefined))
    (i32.store (i32.const {36}) (local.tee $berth (call $new_object)))
    (local.set $name (i32.load (i32.const {28})))
    (block $end
      (loop $names
        (br_if $end (i32.eqz (i32.load8_u (local.get $name))))
        ;; The first byte is what $host_call gets, the name follows.
        (local.set $value (call $new_function (local.get $name) (i32.const 1) (i32.const 0)))
        (drop (call $set_property (local.get $berth) (i32.add (local.get $name) (i32.const 1)) (local.get $value)))
        (call $free_value (local.get $value))
        (local.set $name (i32.add (local.get $name) (i32.add (call $strlen (local.get $name)) (i32.const 1))))
        (br $names)))
    (local.set $value (call $get_global))
    (drop (call $set_property (local.get $value) (i32.const {104}) (local.get $berth)))
    (call $free_value (local.get $value))
    (local.set $value (call $eval (i32.load (i32.const {4})) (i32.load (i32.const {8})) (i32.const {160}) (i32.const 0)))
    (call $check (local.get $value))
    (call $free_value (local.get $value))
    ;; Through bytecode, for that drops the source: 16 is JS_WRITE_OBJ_STRIP_SOURCE.
    (local.set $name (call $compile (i32.load (i32.const {12})) (i32.load (i32.const {16})) (i32.const {176})
      (i32.const 0) (i32.const 16) (i32.const {56})))
    (if (i32.eqz (local.get $name))
      (then
        (call $exit (call $get_exception))))
    (local.set $value (call $eval_bytecode (local.get $name) (i32.load (i32.const {56}))))
    (call $free (local.get $name))
    (call $check (local.get $value))
    (drop (call $set_property (local.get $berth) (i32.const {128}) (local.get $value)))
    (call $free_value (local.get $value))
    (call $track_rejections (i32.const 1))
    (i32.store (i32.const {48}) (call $malloc (i32.const 1024)))
    (i32.store (i32.const {52}) (i32.const 1024))
    (i32.store (i32.const {0}) (i32.const 1)))

  ;; $drain runs the jobs of promises until there are none.
  (func $drain (local $result i32)
    (loop $jobs
      (local.set $result (call $execute_job))
      (br_if $jobs (i32.gt_s (local.get $result) (i32.const 0))))
    (if (i32.lt_s (local.get $result) (i32.const 0))
      (then
        (call $exit (call $get_exception)))))

  (func $run (export "run") (local $answer i32) (local $text i32)
    (if (i32.eqz (i32.load (i32.const {0}))) (then (call $prepare)))
    (drop (call $random_get (i32.const {72}) (i32.const 8)))
    (i32.store (i32.const {44}) (call $get_property (i32.load (i32.const {36})) (i32.const {116})))
    (call $free_value (call $method (i32.const {120}) (i32.const 0)))
    (call $drain)
    (if (i32.load (i32.const {68})) (then (call $free_value (call $ended (i32.load (i32.const {32}))))))
    (i32.store (i32.const {40}) (call $get_property (i32.load (i32.const {36})) (i32.const {112})))
    (block $end
      (loop $events
        ;; The envelope is not copied: its fields are read one by one, or all by the pointer "".
        (br_if $end (i32.lt_s (call $next (i32.const {56}) (i32.const 0)) (i32.const 0)))
        (local.set $answer (call $invoke (i32.load (i32.const {40})) (i32.const 0)))
        (if
          (i32.or
            (i32.or (call $is_job_pending) (i32.load (i32.const {68})))
            (i32.eqz (i32.or (call $is_string (local.get $answer)) (call $is_undefined (local.get $answer)))))
          (then
            (call $drain)
            (local.set $answer (call $ended (local.get $answer)))))
        (if (call $is_string (local.get $answer))
          (then
            (local.set $text (call $get_string (local.get $answer) (i32.const {56})))
            (if (i32.lt_s (call $finish (i32.const 0) (local.get $text) (i32.load (i32.const {56}))) (i32.const 0))
              (then (call $free_value (call $method (i32.const {136}) (i32.const 0)))))
            (call $free_string (local.get $text)))
          (else
            (if (call $is_undefined (local.get $answer))
              (then (drop (call $finish (i32.const 0) (i32.const {56}) (i32.const 0)))))))
        (call $free_value (local.get $answer))
        (br $events))))

  ;; $ended calls the function end with what run has answered, and releases that.
  (func $ended (param $value i32) (result i32) (local $answer i32)
    (i32.store (i32.const {92}) (local.get $value))
    (local.set $answer (call $invoke (i32.load (i32.const {44})) (i32.const 1)))
    (if (i32.ne (local.get $value) (i32.load (i32.const {32}))) (then (call $free_value (local.get $value))))
    (local.get $answer))

  ;; $arg returns the address of the i-th argument's bytes, a string's in UTF-8 or those of
  ;; a typed array, and sets $length: -1 for undefined. $release frees what $arg has made.
  (func $arg (param $argv i32) (param $i i32) (result i32) (local $value i32) (local $buffer i32) (local $start i32)
    (local.set $value (i32.load (i32.add (local.get $argv) (i32.shl (local.get $i) (i32.const 2)))))
    (if (call $is_string (local.get $value))
      (then
        (local.set $start (call $get_string (local.get $value) (i32.const {56})))
        (global.set $length (i32.load (i32.const {56})))
        (return (local.get $start))))
    (if (call $is_undefined (local.get $value))
      (then
        (global.set $length (i32.const -1))
        (return (i32.const 0))))
    (local.set $buffer (call $get_array (local.get $value) (i32.const {56}) (i32.const {60}) (i32.const {64})))
    (local.set $start (i32.load (i32.const {56})))
    (global.set $length (i32.load (i32.const {60})))
    (local.set $start (i32.add (local.get $start) (call $get_buffer (local.get $buffer) (i32.const {56}))))
    (call $free_value (local.get $buffer))
    (local.get $start))

  (func $release (param $argv i32) (param $i i32) (param $bytes i32)
    (if (call $is_string (i32.load (i32.add (local.get $argv) (i32.shl (local.get $i) (i32.const 2)))))
      (then (call $free_string (local.get $bytes)))))

  (func $number (param $n i32) (result i32)
    (call $new_number (f64.convert_i32_s (local.get $n))))

  ;; $fetch makes the buffer hold the n bytes that a call has yielded.
  (func $fetch (param $n i32)
    (if (i32.gt_s (local.get $n) (i32.load (i32.const {52})))
      (then
        (call $free (i32.load (i32.const {48})))
        (i32.store (i32.const {48}) (call $malloc (local.get $n)))
        (i32.store (i32.const {52}) (local.get $n))
        (if (i32.eqz (i32.load (i32.const {48}))) (then (unreachable)))
        (drop (call $last (i32.load (i32.const {48})) (local.get $n))))))

  ;; $yielded is what a yielding call returns to JavaScript: a string, or an error code.
  (func $yielded (param $n i32) (result i32)
    (if (i32.lt_s (local.get $n) (i32.const 0)) (then (return (call $number (local.get $n)))))
    (call $fetch (local.get $n))
    (call $new_string (i32.load (i32.const {48})) (local.get $n)))

  ;; $integer is what int returns to JavaScript: a whole number up to 2^53-1, undefined for
  ;; anything else, null for an error. n is the answer of the function field.
  (func $integer (param $n i32) (result i32) (local $p i32) (local $end i32) (local $digit i32) (local $value i64)
    (if (i32.lt_s (local.get $n) (i32.const 0)) (then (return (call $get_null))))
    (if (i32.gt_u (i32.sub (local.get $n) (i32.const 1)) (i32.const 16)) (then (return (call $get_undefined))))
    (local.set $p (i32.load (i32.const {48})))
    (local.set $end (i32.add (local.get $p) (local.get $n)))
    (if (i32.eq (i32.load8_u (local.get $p)) (i32.const 0x2d))
      (then
        (local.set $p (i32.add (local.get $p) (i32.const 1)))
        (if (i32.eq (local.get $p) (local.get $end)) (then (return (call $get_undefined))))))
    (loop $digits
      (local.set $digit (i32.sub (i32.load8_u (local.get $p)) (i32.const 0x30)))
      (if (i32.gt_u (local.get $digit) (i32.const 9)) (then (return (call $get_undefined))))
      (local.set $value (i64.add (i64.mul (local.get $value) (i64.const 10)) (i64.extend_i32_u (local.get $digit))))
      (local.set $p (i32.add (local.get $p) (i32.const 1)))
      (br_if $digits (i32.lt_u (local.get $p) (local.get $end))))
    (if (i64.gt_u (local.get $value) (i64.const 9007199254740991)) (then (return (call $get_undefined))))
    (if (i32.eq (i32.load8_u (i32.load (i32.const {48}))) (i32.const 0x2d))
      (then (local.set $value (i64.sub (i64.const 0) (local.get $value)))))
    (call $new_number (f64.convert_i64_s (local.get $value))))

  ;; $host_call runs a native function. Its name's first byte says which; runtime.js passes
  ;; the right number of arguments.
  (func $host_call (export "host_call")
      (param $name i32) (param $name_len i32) (param $this i32) (param $argc i32) (param $argv i32) (result i32)
    (local $op i32) (local $a i32) (local $b i32) (local $c i32) (local $n i32) (local $m i32) (local $answer i32)
    (local $z i64)
    (local.set $op (i32.load8_u (local.get $name)))

    (if (i32.eq (local.get $op) (i32.const 0x61)) ;; a: attempt
      (then (return (call $number (call $attempt)))))
    (if (i32.eq (local.get $op) (i32.const 0x62)) ;; b: remaining
      (then (return (call $number (call $remaining)))))
    (if (i32.eq (local.get $op) (i32.const 0x63)) ;; c: error
      (then (return (call $yielded (call $error (i32.load (i32.const {48})) (i32.load (i32.const {52})))))))
    (if (i32.eq (local.get $op) (i32.const 0x64)) ;; d: config
      (then (return (call $yielded (call $config (i32.load (i32.const {48})) (i32.load (i32.const {52})))))))
    (if (i32.eq (local.get $op) (i32.const 0x65)) ;; e: map
      (then (return (call $new_string (i32.load (i32.const {20})) (i32.load (i32.const {24}))))))
    (if (i32.eq (local.get $op) (i32.const 0x66)) ;; f: exit
      (then (call $proc_exit (i32.const 1)) (unreachable)))
    (if (i32.eq (local.get $op) (i32.const 0x67)) ;; g: random, from 0 to 1 (splitmix64)
      (then
        (i64.store (i32.const {72})
          (local.tee $z (i64.add (i64.load (i32.const {72})) (i64.const 0x9e3779b97f4a7c15))))
        (local.set $z (i64.mul (i64.xor (local.get $z) (i64.shr_u (local.get $z) (i64.const 30))) (i64.const 0xbf58476d1ce4e5b9)))
        (local.set $z (i64.mul (i64.xor (local.get $z) (i64.shr_u (local.get $z) (i64.const 27))) (i64.const 0x94d049bb133111eb)))
        (local.set $z (i64.xor (local.get $z) (i64.shr_u (local.get $z) (i64.const 31))))
        (return (call $new_number
          (f64.mul (f64.convert_i64_u (i64.shr_u (local.get $z) (i64.const 11))) (f64.const 0x1p-53))))))
    (if (i32.eq (local.get $op) (i32.const 0x68)) ;; h: randomBytes(n)
      (then
        (local.set $n (i32.trunc_sat_f64_u (call $get_number (i32.load (local.get $argv)))))
        (local.set $a (call $malloc (local.get $n)))
        (if (i32.eqz (local.get $a)) (then (unreachable)))
        (local.set $m (call $random_get (local.get $a) (local.get $n)))
        (if (local.get $m)
          (then (local.set $answer (call $number (i32.const -6))))
          (else (local.set $answer (call $new_bytes (local.get $a) (local.get $n)))))
        (call $free (local.get $a))
        (return (local.get $answer))))
    (if (i32.or (i32.eq (local.get $op) (i32.const 0x69)) (i32.eq (local.get $op) (i32.const 0x6a))) ;; finish, log
      (then
        (local.set $m (i32.trunc_sat_f64_s (call $get_number (i32.load (local.get $argv)))))
        (local.set $a (call $arg (local.get $argv) (i32.const 1)))
        (if (i32.eq (local.get $op) (i32.const 0x69))
          (then (local.set $n (call $finish (local.get $m) (local.get $a) (global.get $length))))
          (else (call $log (local.get $m) (local.get $a) (global.get $length))))
        (call $release (local.get $argv) (i32.const 1) (local.get $a))
        (return (call $number (local.get $n)))))

    ;; [second edition
    (if (i32.eq (local.get $op) (i32.const 0x7a)) ;; z: trace
      (then (return (call $yielded (call $trace (i32.load (i32.const {48})) (i32.load (i32.const {52})))))))
    ;; second edition]

    (if (i32.eqz (local.get $argc)) (then (return (call $number (i32.const -2)))))
    (if (i32.or (i32.eq (local.get $op) (i32.const 0x6b)) (i32.eq (local.get $op) (i32.const 0x77))) ;; field, int
      (then
        (if (i32.eqz (call $is_string (i32.load (local.get $argv)))) (then (return (call $number (i32.const -2)))))))

    ;; The others have bytes as their first argument.
    (local.set $a (call $arg (local.get $argv) (i32.const 0)))
    (local.set $n (global.get $length))
    (block $done
      (if (i32.eq (local.get $op) (i32.const 0x6b)) ;; k: field
        (then
          (local.set $answer (call $yielded
            (call $field (local.get $a) (local.get $n) (i32.load (i32.const {48})) (i32.load (i32.const {52})))))
          (br $done)))
      (if (i32.eq (local.get $op) (i32.const 0x6c)) ;; l: emit
        (then
          (local.set $answer (call $number (call $emit (local.get $a) (local.get $n))))
          (br $done)))
      (if (i32.eq (local.get $op) (i32.const 0x6d)) ;; m: secret
        (then
          (local.set $answer (call $yielded
            (call $secret (local.get $a) (local.get $n) (i32.load (i32.const {48})) (i32.load (i32.const {52})))))
          (br $done)))
      (if (i32.eq (local.get $op) (i32.const 0x6e)) ;; n: http
        (then
          (local.set $answer (call $yielded
            (call $http (local.get $a) (local.get $n) (i32.load (i32.const {48})) (i32.load (i32.const {52})))))
          (br $done)))
      (if (i32.eq (local.get $op) (i32.const 0x6f)) ;; o: kvGet
        (then
          (local.set $answer (call $yielded
            (call $kv_get (local.get $a) (local.get $n) (i32.load (i32.const {48})) (i32.load (i32.const {52})))))
          (br $done)))
      (if (i32.eq (local.get $op) (i32.const 0x70)) ;; p: kvGetBytes
        (then
          (local.set $m
            (call $kv_get (local.get $a) (local.get $n) (i32.load (i32.const {48})) (i32.load (i32.const {52}))))
          (if (i32.lt_s (local.get $m) (i32.const 0))
            (then (local.set $answer (call $number (local.get $m))))
            (else
              (call $fetch (local.get $m))
              (local.set $answer (call $new_bytes (i32.load (i32.const {48})) (local.get $m)))))
          (br $done)))
      (if (i32.eq (local.get $op) (i32.const 0x71)) ;; q: kvSet
        (then
          (local.set $b (call $arg (local.get $argv) (i32.const 1)))
          (local.set $answer (call $number
            (call $kv_set (local.get $a) (local.get $n) (local.get $b) (global.get $length))))
          (call $release (local.get $argv) (i32.const 1) (local.get $b))
          (br $done)))
      (if (i32.eq (local.get $op) (i32.const 0x72)) ;; r: kvCas
        (then
          (local.set $b (call $arg (local.get $argv) (i32.const 1)))
          (local.set $m (global.get $length))
          (local.set $c (call $arg (local.get $argv) (i32.const 2)))
          (local.set $answer (call $number
            (call $kv_cas (local.get $a) (local.get $n) (local.get $b) (local.get $m) (local.get $c) (global.get $length))))
          (call $release (local.get $argv) (i32.const 1) (local.get $b))
          (call $release (local.get $argv) (i32.const 2) (local.get $c))
          (br $done)))
      (if (i32.eq (local.get $op) (i32.const 0x73)) ;; s: kvDelete
        (then
          (local.set $answer (call $number (call $kv_delete (local.get $a) (local.get $n))))
          (br $done)))
      (if (i32.eq (local.get $op) (i32.const 0x74)) ;; t: write
        (then
          (call $write (local.get $a) (local.get $n))
          (local.set $answer (call $number (i32.const 0)))
          (br $done)))
      (if (i32.eq (local.get $op) (i32.const 0x75)) ;; u: encode
        (then
          (local.set $answer (call $new_bytes (local.get $a) (local.get $n)))
          (br $done)))
      (if (i32.eq (local.get $op) (i32.const 0x76)) ;; v: decode
        (then
          (local.set $answer (call $new_string (local.get $a) (local.get $n)))
          (br $done)))
      (if (i32.eq (local.get $op) (i32.const 0x77)) ;; w: int
        (then
          (local.set $answer (call $integer
            (call $field (local.get $a) (local.get $n) (i32.load (i32.const {48})) (i32.load (i32.const {52})))))
          (br $done)))
      ;; [second edition
      (if (i32.eq (local.get $op) (i32.const 0x78)) ;; x: kvList
        (then
          (local.set $b (call $arg (local.get $argv) (i32.const 1)))
          (local.set $m
            (call $kv_list (local.get $a) (local.get $n) (local.get $b) (global.get $length)
              (i32.load (i32.const {48})) (i32.load (i32.const {52}))))
          (call $release (local.get $argv) (i32.const 1) (local.get $b))
          (if (i32.lt_s (local.get $m) (i32.const 0))
            (then (local.set $answer (call $number (local.get $m))))
            (else
              (call $fetch (local.get $m))
              (local.set $answer (call $new_bytes (i32.load (i32.const {48})) (local.get $m)))))
          (br $done)))
      (if (i32.eq (local.get $op) (i32.const 0x79)) ;; y: kvExpire
        (then
          (local.set $m
            (i32.trunc_sat_f64_s (call $get_number (i32.load (i32.add (local.get $argv) (i32.const 4))))))
          (local.set $answer (call $number (call $kv_expire (local.get $a) (local.get $n) (local.get $m))))
          (br $done)))
      ;; second edition]
      (unreachable))
    (call $release (local.get $argv) (i32.const 0) (local.get $a))
    (local.get $answer))

  ;; $host_promise_rejection reports a rejection to runtime.js, whose answer is how many have
  ;; no handler.
  (func $host_promise_rejection (export "host_promise_rejection") (param $promise i32) (param $reason i32) (param $handled i32)
    (local $flag i32) (local $count i32)
    (local.set $flag (call $number (local.get $handled)))
    (i32.store (i32.const {92}) (local.get $promise))
    (i32.store (i32.const {96}) (local.get $reason))
    (i32.store (i32.const {100}) (local.get $flag))
    (local.set $count (call $method (i32.const {144}) (i32.const 3)))
    (i32.store (i32.const {68}) (i32.trunc_sat_f64_s (call $get_number (local.get $count))))
    (call $free_value (local.get $count))
    (call $free_value (local.get $flag))
    (call $free_value (local.get $promise))
    (call $free_value (local.get $reason)))

  ;; Time is UTC, nothing interrupts, and there are no modules besides the bundle.
  (func (export "host_get_timezone_offset") (param i32 i32) (result i32) (i32.const 0))
  (func (export "host_interrupt") (result i32) (i32.const 0))
  (func (export "host_module_normalize") (param i32 i32) (result i32) (i32.const 0))
  (func (export "host_module_load") (param i32 i32) (result i32) (i32.const 0)))
