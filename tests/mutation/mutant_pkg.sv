// SPDX-License-Identifier: Apache-2.0
// Which mutant is on: what TRIPTYCH_MUTANT says in the environment of the simulation; 0, also without it, is none.

package mutant_pkg;
  int selected = number();

  function automatic int number();
    // The environment as the kernel shows it: no argument or linked code is needed, whatever bench it is.
    automatic string name = "TRIPTYCH_MUTANT=";
    automatic int    file = $fopen("/proc/self/environ", "r");
    automatic int    at = 0, letter = 0, value = 0;
    letter = $fgetc(file);
    while (letter >= 0 && at < name.len()) begin
      if (letter == int'(name[at])) at = at + 1;
      else at = letter == 0 ? 0 : -1;
      if (at < 0) begin
        while (letter > 0) letter = $fgetc(file);
        at = 0;
      end
      letter = $fgetc(file);
    end
    while (letter > 0) begin
      value  = 10 * value + letter - int'("0");
      letter = $fgetc(file);
    end
    $fclose(file);
    return at == name.len() ? value : 0;
  endfunction
endpackage
