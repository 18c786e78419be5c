// SPDX-License-Identifier: Apache-2.0
// Coefficients of SILU (docs/fastcar.md, Numerics), made by `python -m triptych.golden.fastcar.silu --fit`:
// do not edit.

package silu_pkg;

  localparam int unsigned SiluSegments = 48;
  localparam int unsigned SiluTBits = 9;
  localparam int unsigned SiluHShift = 9;
  localparam int unsigned SiluVShift = 11;

  localparam int unsigned SiluC0W = 22;
  localparam logic signed [SiluC0W-1:0] SiluC0[SiluSegments] = '{
    22'sd294, 22'sd459398, 22'sd792031, 22'sd1009566,
    22'sd1128444, 22'sd1168007, 22'sd1148010, 22'sd1086936,
    22'sd1000117, 22'sd899808, 22'sd795410, 22'sd692994,
    22'sd596877, 22'sd508639, 22'sd430495, 22'sd361184,
    22'sd301887, 22'sd250878, 22'sd207248, 22'sd171039,
    22'sd140550, 22'sd114900, 22'sd93902, 22'sd76575,
    22'sd62244, 22'sd50630, 22'sd40868, 22'sd32966,
    22'sd26717, 22'sd21548, 22'sd17519, 22'sd13945,
    22'sd11167, 22'sd8913, 22'sd7298, 22'sd5748,
    22'sd4705, 22'sd3612, 22'sd2939, 22'sd2399,
    22'sd1968, 22'sd1622, 22'sd1090, 22'sd869,
    22'sd692, 22'sd551, 22'sd439, 22'sd349
  };

  localparam int unsigned SiluC1W = 11;
  localparam logic signed [SiluC1W-1:0] SiluC1[SiluSegments] = '{
    11'sd1023, 11'sd768, 11'sd529, 11'sd318,
    11'sd144, 11'sd9, -11'sd88, -11'sd152,
    -11'sd188, -11'sd203, -11'sd204, -11'sd195,
    -11'sd181, -11'sd162, -11'sd144, -11'sd125,
    -11'sd108, -11'sd92, -11'sd77, -11'sd65,
    -11'sd55, -11'sd45, -11'sd37, -11'sd31,
    -11'sd25, -11'sd21, -11'sd17, -11'sd13,
    -11'sd11, -11'sd9, -11'sd8, -11'sd6,
    -11'sd4, -11'sd3, -11'sd3, -11'sd2,
    -11'sd2, -11'sd1, -11'sd1, -11'sd1,
    -11'sd1, -11'sd1, 11'sd0, 11'sd0,
    11'sd0, 11'sd0, 11'sd0, 11'sd0
  };

  localparam int unsigned SiluC2W = 8;
  localparam logic signed [SiluC2W-1:0] SiluC2[SiluSegments] = '{
    -8'sd127, -8'sd119, -8'sd105, -8'sd87,
    -8'sd68, -8'sd49, -8'sd32, -8'sd18,
    -8'sd8, -8'sd1, 8'sd4, 8'sd7,
    8'sd9, 8'sd9, 8'sd9, 8'sd9,
    8'sd8, 8'sd7, 8'sd6, 8'sd5,
    8'sd5, 8'sd4, 8'sd3, 8'sd3,
    8'sd2, 8'sd2, 8'sd2, 8'sd1,
    8'sd1, 8'sd1, 8'sd1, 8'sd1,
    8'sd0, 8'sd0, 8'sd0, 8'sd0,
    8'sd0, 8'sd0, 8'sd0, 8'sd0,
    8'sd0, 8'sd0, 8'sd0, 8'sd0,
    8'sd0, 8'sd0, 8'sd0, 8'sd0
  };

endpackage
